import numpy as np
import pytest

from mtgrpo.core.weightings import SEC, ImprovementAware, Uniform
from mtgrpo.errors import ConfigError


def test_one_mapping_and_a_list_of_one_are_the_same():
    one, listed = ImprovementAware().bind(["a", "b"]), ImprovementAware().bind(["a", "b"])
    one.update(task_rewards={"a": 0.3, "b": 0.6}, improvements={"a": 0.1})
    listed.update(task_rewards=[{"a": 0.3, "b": 0.6}], improvements=[{"a": 0.1}])
    assert one.state_dict() == listed.state_dict()


def test_missing_signals_are_named():
    with pytest.raises(ConfigError, match="mean_abs_advantages missing"):
        SEC().bind(["a"]).update(task_rewards={"a": 0.5})
    with pytest.raises(ConfigError, match=r"improvements missing.*improvement='rewards'"):
        ImprovementAware(improvement="surrogate").bind(["a"]).update(task_rewards={"a": 0.5})


def test_signals_a_rule_does_not_use_may_be_left_out():
    Uniform().bind(["a"]).update(task_rewards={})
    ImprovementAware().bind(["a"]).update(task_rewards=[])


@pytest.mark.parametrize("value", ["high", None, np.array([0.1, 0.2]), [0.5]])
def test_values_that_are_no_numbers_are_named(value):
    with pytest.raises(
        ConfigError, match=r"update: task_rewards\['b'\] is .*a finite number is needed"
    ):
        Uniform().bind(["a", "b"]).update(task_rewards={"a": 0.5, "b": value})


def test_no_minibatch_is_not_a_missing_improvement():
    # Summed over none, I = 0: lam J alone moves the weights towards b. By minibatch, there is none to move them.
    arguments = {"lam": 1.0, "improvement": "surrogate", "optimizer": "sgd"}
    once = ImprovementAware(**arguments, updates="step").bind(["a", "b"])
    each = ImprovementAware(**arguments, updates="minibatch").bind(["a", "b"])
    for weighting in (once, each):
        weighting.update(task_rewards={"a": 0.8, "b": 0.2}, improvements=[])
        assert weighting.metrics() == {"task/a/improvement": 0.0, "task/b/improvement": 0.0}
    assert once.weights()["b"] > 0.5
    assert each.weights()["b"] == 0.5


@pytest.mark.parametrize("given", [[0.5, 1.0], [1.5, -0.5], [1.0], [float("nan"), 1.0]])
def test_weights_that_are_no_shares_are_refused(given):
    class Wrong(Uniform):
        def _weights(self):
            return np.array(given)

    with pytest.raises(ConfigError, match=r"Wrong: _weights gives .*sum to 1 are needed; divide"):
        Wrong().bind(["a", "b"]).weights()

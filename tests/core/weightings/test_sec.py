import math

import pytest

from mtgrpo.core.weightings import SEC
from mtgrpo.errors import ConfigError


def test_two_steps_by_hand():
    # Q = 0. Step 1: |A| = (.8, .4) -> Q = (.4, .2); z = softmax(2, 1) = e/(1+e), 1/(1+e).
    # Step 2: b is absent, so its new value is 0: Q = (.5*.4 + .5*.6, .1) = (.5, .1); z = softmax(2.5, .5).
    sec = SEC().bind(["a", "b"])
    sec.update(task_rewards={}, mean_abs_advantages={"a": 0.8, "b": 0.4})
    assert sec.weights()["a"] == pytest.approx(math.e / (1 + math.e), abs=1e-15)
    sec.update(task_rewards={}, mean_abs_advantages={"a": 0.6})
    assert sec.weights()["a"] == pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-15)


def test_task_rewards_do_not_matter():
    high, low = SEC().bind(["a", "b"]), SEC().bind(["a", "b"])
    high.update(task_rewards={"a": 1.0, "b": 1.0}, mean_abs_advantages={"a": 0.7, "b": 0.1})
    low.update(task_rewards={}, mean_abs_advantages={"a": 0.7, "b": 0.1})
    assert high.weights() == low.weights()


@pytest.mark.parametrize(
    "arguments", [{"alpha": 0}, {"alpha": 1.5}, {"temperature": 0}, {"temperature": math.nan}]
)
def test_refuses(arguments):
    with pytest.raises(ConfigError, match="alpha must be in"):
        SEC(**arguments)

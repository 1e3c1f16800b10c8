import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.core.weightings import SEC, ImprovementAware, Uniform
from mtgrpo.core.weightings.base import TaskRewardEstimate, simplex_gradient, softmax
from mtgrpo.errors import ConfigError

logits_and_scores = st.integers(1, 12).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-30, 30), min_size=k, max_size=k),
        st.lists(st.floats(-10, 10), min_size=k, max_size=k),
    )
)


def test_softmax_by_hand():
    # exp(ln 1), exp(ln 2), exp(ln 5) = 1, 2, 5 of 8.
    assert softmax(np.log([1.0, 2.0, 5.0])) == pytest.approx([0.125, 0.25, 0.625], abs=1e-15)


def test_softmax_survives_large_logits():
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1.0, 0.0, 0.0]
    assert softmax(np.full(100_000, 700.0)).sum() == pytest.approx(1.0, abs=1e-12)


def test_gradient_by_hand():
    # z = (.5, .3, .2), s = (1, 2, 4): mean .5 + .6 + .8 = 1.9; g = (.5 * -.9, .3 * .1, .2 * 2.1).
    assert simplex_gradient(np.array([0.5, 0.3, 0.2]), np.array([1.0, 2.0, 4.0])) == pytest.approx(
        [-0.45, 0.03, 0.42], abs=1e-15
    )


@given(logits_and_scores)
def test_gradient_is_autograds(case):
    logits, scores = case
    xi = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    (torch.softmax(xi, 0) @ torch.tensor(scores, dtype=torch.float64)).backward()
    ours = simplex_gradient(softmax(np.array(logits)), np.array(scores))
    assert ours == pytest.approx(xi.grad.numpy(), abs=1e-13)
    assert ours.sum() == pytest.approx(0, abs=1e-13)


@given(logits_and_scores, st.floats(-100, 100))
def test_gradient_ignores_a_constant_in_the_scores(case, constant):
    z, scores = softmax(np.array(case[0])), np.array(case[1])
    assert simplex_gradient(z, scores + constant) == pytest.approx(
        simplex_gradient(z, scores), abs=1e-12
    )


def test_reward_estimate_by_hand():
    # start 0, ema .5: a sees .4 -> .2, then .6 -> .4; b is absent first, then sees 1 -> .5.
    estimate = TaskRewardEstimate(ema=0.5, start=0.0)
    estimate.reset(2)
    estimate.observe(np.array([0.4, math.nan]))
    assert estimate.values == pytest.approx([0.2, 0.0])
    estimate.observe(np.array([0.6, 1.0]))
    assert estimate.values == pytest.approx([0.4, 0.5])


def test_reward_estimate_starts_at_the_first_observation():
    # a: .4, then .75 * .4 + .25 * .8 = .5; b, first seen now, is .2; c was never seen: filled with the mean .35.
    estimate = TaskRewardEstimate(ema=0.75)
    estimate.reset(3)
    assert estimate.filled().tolist() == [0, 0, 0]
    estimate.observe(np.array([0.4, math.nan, math.nan]))
    estimate.observe(np.array([0.8, 0.2, math.nan]))
    assert estimate.values[:2] == pytest.approx([0.5, 0.2])
    assert estimate.filled() == pytest.approx([0.5, 0.2, 0.35])
    assert estimate.dump()[2] is None


@pytest.mark.parametrize("ema", [1.0, -0.1, math.nan])
def test_reward_estimate_refuses_a_bad_ema(ema):
    with pytest.raises(ConfigError, match="reward_ema"):
        TaskRewardEstimate(ema)


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_reward_estimate_refuses_a_bad_start(start):
    with pytest.raises(ConfigError, match="reward_start"):
        TaskRewardEstimate(0.5, start)


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

import math

import pytest

from mtgrpo.core.weightings import DRATS
from mtgrpo.errors import ConfigError


def test_two_steps_by_hand():
    # Gaps (.4, .8): z' = e^.2 / (e^.2 + e^.4) at step size .5; a tenth is spread evenly.
    drats = DRATS(step_size=0.5, min_share=0.1, reward_ema=0.0).bind(["a", "b"])
    drats.update(task_rewards={"a": 0.6, "b": 0.2})
    first = 0.9 / (1 + math.exp(0.2)) + 0.05
    assert drats.weights()["a"] == pytest.approx(first, abs=1e-15)

    # Gaps (.5, .5) move nothing; the share alone does.
    drats.update(task_rewards={"a": 0.5, "b": 0.5})
    assert drats.weights()["a"] == pytest.approx(0.9 * first + 0.05, abs=1e-15)


def test_targets_decide_which_gap_is_the_worst():
    rewards = {"a": 0.3, "b": 0.5}
    same, own = DRATS().bind(["a", "b"]), DRATS(targets={"a": 0.4}).bind(["a", "b"])
    same.update(task_rewards=rewards)
    own.update(task_rewards=rewards)  # gaps .1 and .5
    assert same.weights()["a"] > 0.5 > own.weights()["a"]


def test_a_task_not_seen_yet_has_the_mean_gap():
    drats = DRATS(targets={"c": 5.0}).bind(["a", "b", "c"])
    drats.update(task_rewards={"a": 0.2, "b": 0.8})
    assert drats.weights()["a"] > drats.weights()["c"] > drats.weights()["b"]


def test_weight_comes_back_when_another_task_is_the_worst():
    drats = DRATS(step_size=0.5, min_share=0.05, reward_ema=0.0).bind(["a", "b"])
    for _ in range(1000):
        drats.update(task_rewards={"a": 0.1, "b": 0.9})
    assert drats.weights()["a"] > 0.9

    for _ in range(20):
        drats.update(task_rewards={"a": 0.9, "b": 0.4})
    assert drats.weights()["b"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_size": 0}, "step_size must be above 0"),
        ({"step_size": math.inf}, "step_size must be above 0"),
        ({"min_share": 0}, "min_share above 0"),
        ({"min_share": 1.5}, "min_share above 0"),
        ({"target": math.nan}, "finite numbers are needed"),
        ({"targets": {"a": math.inf}}, "finite numbers are needed"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        DRATS(**arguments)


def test_a_target_of_an_unknown_task_is_named():
    with pytest.raises(ConfigError, match="did you mean 'arc'"):
        DRATS(targets={"acr": 0.5}).bind(["arc", "zebra"])

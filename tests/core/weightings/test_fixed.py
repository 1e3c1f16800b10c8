import math

import pytest

from mtgrpo.core.weightings import Fixed, Uniform
from mtgrpo.errors import ConfigError


def test_uniform_by_hand():
    assert Uniform().bind(["a", "b", "c", "d"]).weights() == {
        "a": 0.25,
        "b": 0.25,
        "c": 0.25,
        "d": 0.25,
    }


def test_fixed_is_normalised_and_ordered_by_the_tasks():
    weights = Fixed({"b": 3, "a": 1}).bind(["a", "b"]).weights()
    assert list(weights.items()) == [("a", 0.25), ("b", 0.75)]


def test_fixed_does_not_move():
    weighting = Fixed({"a": 0, "b": 2}).bind(["a", "b"])
    weighting.update(task_rewards={"a": 0.0, "b": 1.0})
    assert weighting.weights() == {"a": 0.0, "b": 1.0}


@pytest.mark.parametrize(
    "weights",
    [{}, {"a": -1.0}, {"a": 0.0}, {"a": math.nan}, {"a": math.inf}, {"a": 1e308, "b": 1e308}],
)
def test_fixed_refuses(weights):
    with pytest.raises(ConfigError, match="non-negative with a positive, finite sum"):
        Fixed(weights)


@pytest.mark.parametrize("tasks", [["a"], ["a", "b", "c"], ["a", "c"]])
def test_fixed_needs_a_weight_for_every_task(tasks):
    with pytest.raises(ConfigError, match="give one each"):
        Fixed({"a": 1, "b": 1}).bind(tasks)

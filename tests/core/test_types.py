import math

import numpy as np
import pytest

from mtgrpo.core.types import Group, check_task_names
from mtgrpo.errors import ConfigError

NAN = math.nan


def test_a_completion_is_correct_from_a_reward_of_one():
    group = Group("a", (0.0, 0.1, 1.0, 1.5))
    assert group.accuracies == (0.0, 0.0, 1.0, 1.0)
    assert group.mean_reward == pytest.approx(0.65)
    assert group.mean_accuracy == 0.5


def test_arrays_and_lists_become_tuples_of_floats():
    group = Group("a", np.array([0, 1], dtype=np.float32), np.array([0, 1]))
    assert group.rewards == group.accuracies == (0.0, 1.0)
    assert all(type(x) is float for x in group.rewards + group.accuracies)
    assert Group("a", [1], []).accuracies == (1.0,)


def test_an_unscorable_completion_is_left_out_of_every_mean():
    # Whether its accuracy is NaN, left empty, or a number that means nothing.
    for accuracies in ((1.0, NAN, 0.0), (), (1.0, 0.0, 0.0)):
        group = Group("a", (1.0, NAN, 0.2), accuracies)
        assert math.isnan(group.accuracies[1])
        assert group.mean_reward == pytest.approx(0.6)
        assert group.mean_accuracy == 0.5
    assert math.isnan(Group("a", (NAN, NAN)).mean_reward)


@pytest.mark.parametrize(
    ("rewards", "accuracies"),
    [
        ((math.inf, 0.0), ()),
        ((math.inf, -math.inf), ()),
        ((NAN, -math.inf), ()),
        ((0.0, 1.0), (0.0, math.inf)),
        ((0.0, 1.0), (0.0, NAN)),
    ],
)
def test_numbers_that_are_not_finite_are_refused(rewards, accuracies):
    with pytest.raises(ConfigError, match=r"group of task 'zebra'.*must be finite"):
        Group("zebra", rewards, accuracies)


@pytest.mark.parametrize(
    ("rewards", "accuracies"), [((), ()), ((1.0,), (1.0, 0.0)), ((1.0, 0.0), (1.0,))]
)
def test_one_number_per_completion(rewards, accuracies):
    with pytest.raises(ConfigError, match="one number per completion"):
        Group("a", rewards, accuracies)


def test_payloads_do_not_take_part_in_comparisons():
    assert Group("a", (1.0,), payload=[1]) == Group("a", (1.0,), payload={})


def test_task_names():
    assert check_task_names(["a b", "a/b", "ä_1"], "here") == ("a b", "a/b", "ä_1")
    for bad, message in (
        ("abc", r"\['abc'\]"),
        ([], "no tasks"),
        (["a", ""], "''"),
        (["a", 1], "1"),
        (["a", "b", "a"], "'a' appears more than once"),
    ):
        with pytest.raises(ConfigError, match=f"here: .*{message}"):
            check_task_names(bad, "here")

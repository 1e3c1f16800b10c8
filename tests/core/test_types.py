import math

import numpy as np
import pytest

from mtgrpo.core.types import (
    TOLERANCE,
    Group,
    all_equal,
    as_accuracy,
    at_least,
    check_task_names,
)
from mtgrpo.errors import ConfigError

NAN = math.nan


def test_a_completion_is_correct_from_a_reward_of_one():
    group = Group.verified("a", (0.0, 0.1, 1.0, 1.5))
    assert group.accuracies == (0.0, 0.0, 1.0, 1.0)
    assert group.mean_reward == pytest.approx(0.65)
    assert group.mean_accuracy == 0.5


def test_arrays_and_lists_become_tuples_of_floats():
    group = Group("a", np.array([0, 1], dtype=np.float32), np.array([0, 1]))
    assert group.rewards == group.accuracies == (0.0, 1.0)
    assert all(type(x) is float for x in group.rewards + group.accuracies)
    assert Group.verified("a", [1]).accuracies == (1.0,)


def test_an_unscorable_completion_is_left_out_of_every_mean():
    # Whether its accuracy is NaN or a number that means nothing.
    for accuracies in ((1.0, NAN, 0.0), (1.0, 0.0, 0.0)):
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


@pytest.mark.parametrize("reward", [0.7 + 0.2 + 0.1, sum([0.1] * 10), 1 - 1e-7])
def test_rounding_does_not_decide_whether_a_completion_is_correct(reward):
    assert reward < 1
    assert Group.verified("a", (reward, 0.9)).accuracies == (1.0, 0.0)


def test_numbers_are_compared_within_one_tolerance():
    assert at_least(float(np.float32(0.9)), 0.9)
    assert not at_least(0.9 - 2 * TOLERANCE, 0.9)
    # Of a large number float32 keeps seven digits.
    assert at_least(float(np.float32(123456.7)) - 0.05, 123456.7)
    assert not at_least(123456.0, 123456.7)
    assert all_equal([0.7 + 0.2 + 0.1, 1.0, float(np.float32(0.9)) + 0.1])
    assert not all_equal([0.0, 2 * TOLERANCE])


def test_an_accuracy_is_rounded_into_its_range():
    group = Group("a", (0.0, 0.5, 1.0, NAN), (-2.8e-17, 0.5, 1 + 1e-9, 7.0))
    assert group.accuracies[:3] == (0.0, 0.5, 1.0)
    assert math.isnan(group.accuracies[3])
    assert str(as_accuracy(-2.8e-17)) == "0.0"
    assert as_accuracy(-2 * TOLERANCE) is as_accuracy(1.1) is as_accuracy(NAN) is None


@pytest.mark.parametrize("accuracy", [-0.1, 1.1, 40.0])
def test_accuracies_are_in_range(accuracy):
    with pytest.raises(
        ConfigError, match=rf"group of task 'zebra'.*accuracy {accuracy}; .*\[0, 1\]"
    ):
        Group("zebra", (0.0, 1.0), (0.0, accuracy))


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

import pytest

from mtgrpo.core.metrics import (
    filtered_shares,
    first_reached,
    mean_accuracy,
    relative_change,
    worst_accuracy,
)
from mtgrpo.errors import ConfigError


def test_worst_and_mean():
    accuracies = {"a": 0.2, "b": 0.9, "c": 0.4}
    assert worst_accuracy(accuracies) == 0.2
    assert mean_accuracy(accuracies) == pytest.approx(0.5)


def test_relative_change_by_hand():
    # a: .6 against .5 is +20 %; b: .3 against .4 is -25 %; mean -2.5 %. (The paper's per-task accuracies are not
    # in SPEC section 8, so its Delta% cannot be recomputed from there.)
    assert relative_change({"a": 0.6, "b": 0.3}, {"b": 0.4, "a": 0.5}) == pytest.approx(-2.5)
    assert relative_change({"a": 0.5}, {"a": 0.5}) == 0


def test_relative_change_needs_the_same_tasks_and_no_zero():
    with pytest.raises(ConfigError, match=r"\['a'\] against baseline tasks \['a', 'b'\]"):
        relative_change({"a": 0.5}, {"a": 0.5, "b": 0.5})
    with pytest.raises(ConfigError, match="accuracy on 'b' is 0"):
        relative_change({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.0})


def test_first_reached():
    assert first_reached([10, 20, 30], [0.1, 0.5, 0.4], 0.4) == 20
    assert first_reached([10, 20, 30], [0.1, 0.5, 0.4], 0.5) == 20
    assert first_reached([10, 20], [0.1, 0.3 - 1e-12], 0.3) == 20  # rounding does not decide
    assert first_reached([10, 20], [0.1, 0.2], 0.3) is None
    assert first_reached([], [], 0.3) is None
    with pytest.raises(ValueError, match="shorter"):
        first_reached([10, 20], [0.5], 0.6)


def test_filtered_shares_of_the_paper():
    # SPEC section 1: equal weights at a = (.7, .5, .2) train on 50/36/14 %.
    shares = filtered_shares(dict.fromkeys("abc", 1 / 3), {"a": 0.7, "b": 0.5, "c": 0.2})
    assert shares == pytest.approx({"a": 0.5, "b": 5 / 14, "c": 1 / 7})
    assert filtered_shares({"a": 1.0}, {"a": 0.0}) == {"a": 0.0}

"""What is known of tasks, carried over to other tasks."""

import numpy as np

from mtgrpo.core.task_change import TaskChange


def _change(before: str, after: str) -> TaskChange:
    return TaskChange(tuple(before), tuple(after))


def test_kept_tasks_keep_their_entries_wherever_they_stand() -> None:
    change = _change("abc", "xca")
    assert change.sources.tolist() == [-1, 2, 0]
    assert change.kept.tolist() == [2, 0]
    assert change.carried(np.array([1.0, 2.0, 3.0]), 9.0).tolist() == [9.0, 3.0, 1.0]

    rows = np.array([[1, 2, 3], [4, 5, 6]])
    assert change.carried(rows, 0).tolist() == [[0, 3, 1], [0, 6, 4]]


def test_the_carried_array_is_a_copy() -> None:
    values = np.array([1.0, 2.0])
    carried = _change("ab", "ab").carried(values, 0.0)
    carried[0] = 5.0
    assert values.tolist() == [1.0, 2.0]


def test_the_mean_is_of_what_is_known_of_tasks_that_stay() -> None:
    change = _change("abcd", "abcx")
    assert change.mean_of_kept(np.array([1.0, np.nan, 4.0, 100.0]), 0.5) == 2.5
    assert change.mean_of_kept(np.full(4, np.nan), 0.5) == 0.5
    assert _change("ab", "cd").mean_of_kept(np.array([1.0, 2.0]), 0.5) == 0.5


def test_weights_sum_to_one_and_keep_their_proportions() -> None:
    weights = _change("abc", "abx").carried_weights(np.array([0.6, 0.2, 0.2]))
    np.testing.assert_allclose(weights, [0.5, 1 / 6, 1 / 3])

    # Nothing to go by.
    weights = _change("abc", "abx").carried_weights(np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(weights, [1 / 3] * 3)


def test_only_the_same_order_is_no_change() -> None:
    assert _change("ab", "ab").is_none
    assert not _change("ab", "ba").is_none
    assert not _change("ab", "a").is_none

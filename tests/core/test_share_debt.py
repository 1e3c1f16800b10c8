"""Shares that a step cannot give are owed, paid and forgiven."""

import numpy as np
import pytest

from mtgrpo.core.share_debt import ShareDebt, targets_of_loss
from mtgrpo.core.task_change import TaskChange

WEIGHTS = np.array([0.5, 0.3, 0.2])
ALL, WITHOUT_LAST = np.array([True] * 3), np.array([True, True, False])


def test_an_absent_task_is_owed_its_share_and_paid_by_hand():
    debt = ShareDebt(3, limit=1.0)
    shares = targets_of_loss(WEIGHTS, debt.owed, WITHOUT_LAST)
    assert shares == pytest.approx([0.625, 0.375, 0])
    debt.settle(WEIGHTS, shares)
    assert debt.owed == pytest.approx([-0.125, -0.075, 0.2])

    shares = targets_of_loss(WEIGHTS, debt.owed, ALL)
    assert shares == pytest.approx([0.375, 0.225, 0.4])
    debt.settle(WEIGHTS, shares)
    assert debt.owed == pytest.approx([0, 0, 0])


def test_those_that_are_ahead_keep_half_of_their_share():
    owed = np.array([-0.6, -0.1, 0.7])
    # Given: half of .5, and all of .1.
    assert targets_of_loss(WEIGHTS, owed, ALL) == pytest.approx([0.25, 0.2, 0.55])


def test_tasks_that_are_away_neither_give_nor_take():
    owed = np.array([-0.3, 0.1, 0.2])
    shares = targets_of_loss(WEIGHTS, owed, WITHOUT_LAST)
    assert shares == pytest.approx([0.525, 0.475, 0])
    shares = targets_of_loss(WEIGHTS, owed, np.array([False, True, True]))
    assert shares == pytest.approx([0, 0.6, 0.4])


def test_a_step_without_anything_changes_nothing():
    debt = ShareDebt(3, limit=1.0)
    debt.owed = np.array([-0.3, 0.1, 0.2])
    shares = targets_of_loss(WEIGHTS, debt.owed, np.zeros(3, dtype=bool))
    assert not shares.any()
    debt.settle(WEIGHTS, shares)
    assert debt.owed.tolist() == [-0.3, 0.1, 0.2]


@pytest.mark.parametrize("limit", [0.0, 0.3, 1.0])
def test_debts_are_bounded_add_up_to_nothing_and_are_forgiven(limit):
    debt = ShareDebt(3, limit)
    for _ in range(50):
        shares = targets_of_loss(WEIGHTS, debt.owed, WITHOUT_LAST)
        assert shares == pytest.approx([0.625, 0.375, 0])  # nobody has to wait for the third
        debt.settle(WEIGHTS, shares)
        assert debt.owed.max() <= limit + 1e-12
        assert debt.owed.sum() == pytest.approx(0, abs=1e-12)
    assert debt.owed[2] == pytest.approx(limit)


def test_shares_are_the_weights_in_the_long_run():
    rng, debt, sums = np.random.default_rng(0), ShareDebt(3, limit=5.0), np.zeros(3)
    present = rng.random((2000, 3)) < [0.95, 0.9, 0.6]
    for here in present:
        shares = targets_of_loss(WEIGHTS, debt.owed, here)
        debt.settle(WEIGHTS, shares)
        sums += shares / 2000 if here.any() else WEIGHTS / 2000
        assert debt.owed.max() < 5  # nothing is forgiven
    # By construction: what is missing is what is owed.
    assert sums == pytest.approx(WEIGHTS - debt.owed / 2000, abs=1e-9)


def test_saved_and_restored():
    debt, other = ShareDebt(2, 1.0), ShareDebt(2, 1.0)
    debt.settle(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    other.load_state_dict(debt.state_dict())
    assert other.owed.tolist() == [-0.5, 0.5]


def test_debts_sum_to_zero_whoever_leaves() -> None:
    debt = ShareDebt(3, limit=9.0)
    debt.owed = np.array([0.6, -0.2, -0.4])

    debt.change_tasks(TaskChange(("a", "b", "c"), ("c", "a", "b", "new")))
    assert debt.owed.tolist() == [-0.4, 0.6, -0.2, 0.0]

    debt.change_tasks(TaskChange(("c", "a", "b", "new"), ("a", "b", "new")))
    np.testing.assert_allclose(debt.owed, [0.2, -0.2, 0.0])
    debt.change_tasks(TaskChange(("a", "b", "new"), ("b", "new")))
    assert debt.owed.tolist() == [0.0, 0.0]

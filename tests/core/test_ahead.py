"""Dealing ahead: in proportion to need, bounded, and further for what the batch waits for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mtgrpo.core.ahead import AWAITED, LEAST_RATE_AHEAD, DealAhead, batch_needs
from mtgrpo.errors import ConfigError


def test_needs_by_hand():
    weights, rates = np.array([0.5, 0.25, 0.25]), np.array([0.5, 1.0, 0.25])
    assert batch_needs(weights, rates, 8, keeps_shares=True).tolist() == [8.0, 2.0, 8.0]
    # Without quotas all three tasks fill the batch together: 8 of 0.5625 z-weighted prompts.
    blind = batch_needs(weights, rates, 8, keeps_shares=False)
    assert blind.tolist() == pytest.approx((8 * weights / 0.5625).tolist())
    never = batch_needs(weights, np.zeros(3), 8, keeps_shares=True)
    assert never.tolist() == (8 * weights / LEAST_RATE_AHEAD).tolist(), (
        "finite for what was never seen"
    )


def deal(deal: DealAhead, needs: list[float], count: int, awaited: list[int]) -> Counter[int]:
    ahead, dealt = np.zeros(len(needs), dtype=np.int64), Counter[int]()
    for _ in range(count):
        task = deal.next_task(np.array(needs), ahead, np.array(awaited))
        ahead[task] += 1
        dealt[task] += 1
    return dealt


def test_prompts_are_dealt_in_proportion_to_need():
    assert deal(DealAhead(100), [8.0, 2.0, 40.0], 500, [0, 0, 0]) == {0: 80, 1: 20, 2: 400}


def test_what_the_batch_waits_for_gets_further_ahead():
    rule = DealAhead(2)
    assert deal(rule, [8.0, 2.0, 4.0], 28, [0, 0, 0]) == {0: 16, 1: 4, 2: 8}
    full = np.array([16, 4, 8])
    needs = np.array([8.0, 2.0, 4.0])
    assert rule.wanted(needs, full, np.array([0, 0, 0])).tolist() == [False] * 3
    assert rule.wanted(needs, full, np.array([0, 3, 0])).tolist() == [False, True, False]
    further = np.array([16, 2 * 2 * AWAITED, 8])
    assert rule.wanted(needs, further, np.array([0, 3, 0])).tolist() == [False] * 3
    # An engine that cannot wait is given the task with the fewest batches ahead.
    assert rule.next_task(needs, np.array([16, 4, 9]), np.zeros(3, dtype=int)) == 0


def test_a_task_of_weight_zero_gets_nothing():
    assert deal(DealAhead(), [0.0, 1.0], 50, [5, 0]) == {1: 50}


def test_max_ahead_is_checked_and_shown():
    assert repr(DealAhead(4.0)) == "DealAhead(max_ahead=4.0)"
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match=r"ledger: max_ahead=.*; a finite number of batches"):
            DealAhead(wrong)

"""Paired comparisons against cases worked out by hand, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from mtgrpo.errors import RunError
from mtgrpo.evidence import compare, load_results, threshold_costs

from .conftest import record, study

# Two tasks, four prompts, two samples each.
START = [[0, 0, 0, 0], [1, 1, 1, 1]]
LOW = [[1, 0, 1, 0], [2, 2, 2, 2]]  # 0.25 and 1
HIGH = [[1, 1, 1, 1], [2, 1, 2, 1]]  # 0.5 and 0.75


def two(mine: list, theirs: list, rollouts: tuple = ([0, 100], [0, 100])):
    runs = [record("mt_grpo", s, a, rollouts[0]) for s, a in enumerate(mine)]
    runs += [record("dapo", s, a, rollouts[1]) for s, a in enumerate(theirs)]
    results = load_results(study(runs))
    return results.of("mt_grpo"), results.of("dapo")


def test_differences_by_hand():
    found = compare(*two([[START, HIGH]], [[START, LOW]]))
    assert found.worst.value == pytest.approx(0.5 - 0.25)
    assert found.mean.value == pytest.approx(0.625 - 0.625)
    assert found.change.value == pytest.approx(100 * (0.25 / 0.25 - 0.25 / 1) / 2)
    assert found.worst_by_seed == pytest.approx((0.25,))
    assert (found.method, found.other, found.seeds, found.cost) == ("mt_grpo", "dapo", (0,), 10)


def test_only_shared_seeds_are_paired():
    mine, theirs = two([[START, HIGH], [START, LOW]], [[START, LOW], [START, LOW], [START, START]])
    found = compare(mine, theirs)
    assert found.seeds == (0, 1)
    assert found.worst_by_seed == pytest.approx((0.25, 0.0))
    assert found.worst.value == pytest.approx(0.125)


def test_equal_rollouts_are_between_evaluations():
    # dapo made 200 rollouts by the end: at 100 it is half way from START to LOW.
    found = compare(*two([[START, HIGH]], [[START, LOW]], ([0, 100], [0, 200])), at="rollouts")
    assert found.cost == 100
    assert found.worst.value == pytest.approx(0.5 - 0.125)


def test_a_method_against_itself_has_no_interval():
    mine, theirs = two([[START, HIGH], [START, LOW]], [[START, HIGH], [START, LOW]])
    for at in ("steps", "rollouts"):
        found = compare(mine, theirs, at=at)
        assert (found.worst.value, found.worst.low, found.worst.high) == (0, 0, 0)
        assert not found.worst.excludes_zero


def test_tasks_can_be_chosen():
    found = compare(*two([[START, HIGH]], [[START, LOW]]), tasks=["t1-easy"])
    assert found.worst.value == pytest.approx(-0.25)


def test_the_same_data_give_the_same_interval(noisy):
    results = load_results(noisy((0.5, 0.7), (0.55, 0.7)))
    first, second = (compare(results.of("mt_grpo"), results.of("dapo")) for _ in range(2))
    assert first == second
    assert first.worst.low < first.worst.value < first.worst.high


def test_seeds_are_resampled_with_an_unbiased_variance():
    # Every prompt alike, so that seeds alone vary: differences of 0, 0 and 0.5.
    same, more = [[1] * 4, [2] * 4], [[2] * 4, [2] * 4]
    mine, theirs = two([[START, same], [START, same], [START, more]], [[START, same]] * 3)
    found = compare(mine, theirs, num_resamples=4000)
    assert found.worst_by_seed == pytest.approx((0.0, 0.0, 0.5))
    # Two of three are drawn: 0, 0.25 or 0.5, the last one in a ninth of the draws.
    assert (found.worst.low, found.worst.high) == pytest.approx((0.0, 0.5))


def test_intervals_cover_the_truth(noisy):
    # Far from a tie between tasks, where the minimum has no bias.
    covered = [
        found.worst.low <= 0.1 <= found.worst.high
        for rng in range(60)
        for results in [load_results(noisy((0.4, 0.8), (0.5, 0.8), rng=rng))]
        for found in [compare(results.of("mt_grpo"), results.of("dapo"), num_resamples=300)]
    ]
    assert 0.78 <= np.mean(covered) <= 1.0


def test_a_clear_difference_excludes_zero_and_none_rarely_does(noisy):
    clear = load_results(noisy((0.3, 0.8), (0.6, 0.8)))
    assert compare(clear.of("mt_grpo"), clear.of("dapo")).worst.excludes_zero
    false = [
        compare(same.of("mt_grpo"), same.of("dapo"), num_resamples=300).worst.excludes_zero
        for rng in range(40)
        for same in [load_results(noisy((0.4, 0.8), (0.4, 0.8), rng=rng))]
    ]
    assert np.mean(false) <= 0.25


def test_what_cannot_be_paired_says_so():
    mine, _ = two([[START, HIGH]], [[START, LOW]])
    with pytest.raises(RunError, match="no seed in common"):
        compare(mine, [])
    bare = record("dapo", 0, [START, LOW], [0, 100])
    bare["prompts"] = {}
    results = load_results(study([bare]))
    with pytest.raises(RunError, match="prompt by prompt"):
        compare(mine, results.of("dapo"))


def test_threshold_costs_by_hand():
    mine, theirs = two(
        [[START, HIGH], [START, LOW], [START, HIGH]], [[START, HIGH], [START, HIGH], [START, LOW]]
    )
    cost = threshold_costs(mine, theirs, 0.5)
    assert (cost.num_runs, cost.num_reached) == (3, 2)
    assert (cost.steps, cost.rollouts, cost.seconds) == (10, 100, 5)
    assert cost.num_paired == 1  # seed 0 alone: both reached it
    assert set(cost.ratios) == {"steps", "rollouts", "seconds"}
    assert cost.ratios["rollouts"].value == pytest.approx(1.0)
    never = threshold_costs(mine, theirs, 0.9)
    assert never.num_reached == 0
    assert np.isnan(never.steps)
    assert never.ratios == {}


def test_ratio_of_rollouts_is_a_geometric_mean():
    runs = [record("mt_grpo", s, [START, HIGH], [0, r]) for s, r in enumerate((100, 400))]
    runs += [record("dapo", s, [START, HIGH], [0, 200]) for s in range(2)]
    results = load_results(study(runs))
    cost = threshold_costs(results.of("mt_grpo"), results.of("dapo"), 0.5)
    assert cost.num_paired == 2
    assert cost.ratios["steps"].value == pytest.approx(1.0)
    ratio = cost.ratios["rollouts"]
    assert ratio.value == pytest.approx(1.0)
    assert (ratio.low, ratio.high) == pytest.approx((0.5, 2.0))

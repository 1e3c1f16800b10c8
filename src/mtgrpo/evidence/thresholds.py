"""What a method needs to reach a worst-task accuracy, beside what a baseline needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtgrpo.evidence.paired import NUM_RESAMPLES, Interval, interval_of, seed_weights
from mtgrpo.evidence.results import RunResult

COSTS = ("steps", "rollouts", "seconds")


@dataclass(frozen=True)
class ThresholdCost:
    """What a method needed to reach a worst-task accuracy, over its seeds.

    Attributes:
        threshold: The accuracy.
        num_runs: Runs.
        num_reached: Those that reached it.
        steps: Median over the runs that reached it; NaN when none did.
        rollouts: Likewise.
        seconds: Likewise.
        ratios: Ratios of ``steps``, ``rollouts`` and ``seconds`` to the baseline's: geometric mean
            over the seeds at which both reached it, with its 95 % bootstrap interval over seeds;
            empty where there is no such seed.
        num_paired: Number of those seeds.
    """

    threshold: float
    num_runs: int
    num_reached: int
    steps: float
    rollouts: float
    seconds: float
    ratios: Mapping[str, Interval]
    num_paired: int


def threshold_costs(
    runs: Sequence[RunResult], baseline: Sequence[RunResult], threshold: float
) -> ThresholdCost:
    """Cost of the first evaluation at or above `threshold`, with its ratio to the baseline's."""
    reached, theirs = _costs(runs, threshold), _costs(baseline, threshold)

    medians = np.full(len(COSTS), np.nan)
    if reached:
        medians = np.median(list(reached.values()), axis=0)

    # A run that starts there has cost nothing: no ratio to it.
    paired = [seed for seed in sorted(reached.keys() & theirs.keys()) if reached[seed][0] > 0]
    paired = [seed for seed in paired if theirs[seed][0] > 0]

    return ThresholdCost(
        threshold=threshold,
        num_runs=len(runs),
        num_reached=len(reached),
        steps=float(medians[0]),
        rollouts=float(medians[1]),
        seconds=float(medians[2]),
        ratios=_ratios([reached[seed] for seed in paired], [theirs[seed] for seed in paired]),
        num_paired=len(paired),
    )


def _ratios(
    costs: Sequence[Sequence[float]], others: Sequence[Sequence[float]]
) -> dict[str, Interval]:
    """Ratio of each kind of cost, geometric mean over seeds; empty without any."""
    if not costs:
        return {}

    logs = np.log(np.array(costs) / np.array(others))  # (seeds, kinds of cost)
    drawn = seed_weights(len(costs), NUM_RESAMPLES) @ logs  # (resamples, kinds of cost)

    ratios: dict[str, Interval] = {}
    for i, name in enumerate(COSTS):
        inner = interval_of(float(logs[:, i].mean()), drawn[:, i])
        low, value, high = np.exp([inner.low, inner.value, inner.high])
        ratios[name] = Interval(float(value), float(low), float(high))

    return ratios


def _costs(runs: Sequence[RunResult], threshold: float) -> dict[int, list[float]]:
    """Costs of the first evaluation at or above the threshold, by seed of those that reach it."""
    costs: dict[int, list[float]] = {}
    for run in runs:
        above = np.flatnonzero(run.worst >= threshold)
        if above.size:
            costs[run.seed] = [float(getattr(run, name)[above[0]]) for name in COSTS]

    return costs

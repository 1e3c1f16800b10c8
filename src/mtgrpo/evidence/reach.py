"""What a method spends until its worst task is as good as another method's ends up: on mean curves over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.errors import RunError
from mtgrpo.evidence.paired import NUM_RESAMPLES, Interval, seed_weights
from mtgrpo.evidence.results import Floats, RunResult


def final_worst(runs: Sequence[RunResult]) -> float:
    """Worst-task accuracy at the last evaluation, mean over the runs."""
    return float(np.mean([run.worst[-1] for run in runs]))


def rollouts_to(runs: Sequence[RunResult], level: float) -> float:
    """Rollouts at which the mean curve over seeds first reaches a worst-task accuracy; infinite where it never does.

    Between two evaluations the curve is taken to be straight. A single run's first evaluation above a level comes too
    early by chance; the mean over seeds suffers less from that.
    """
    costs, worst = _curves(runs, [run.seed for run in runs])
    even = np.ones((1, len(runs))) / len(runs)
    return float(_crossing(even @ costs, even @ worst, np.array([level]))[0])


def rollouts_ratio(
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    target: Sequence[RunResult],
    *,
    whole: bool = False,
) -> Interval:
    """Rollouts that `runs` need to the worst-task accuracy that `target` ends with, over those that `others` need.

    Args:
        runs: Of the method; infinite where its mean curve does not get there.
        others: Of the method compared with; all of its rollouts where its mean curve does not get there.
        target: Of the method whose final accuracy is to be reached.
        whole: Divide by all rollouts of `others`, whenever they got there.

    Returns:
        The ratio with its 95 % interval over resampled seeds, the accuracy to be reached resampled with them. Three
        seeds make an interval that is too narrow. An end may be infinite.

    Raises:
        RunError: No seed in common.
    """
    seeds = sorted(
        set.intersection(*({run.seed for run in group} for group in (runs, others, target)))
    )
    if not seeds:
        raise RunError("rollouts to a level: the methods have no seed in common")
    mine, theirs, wanted = (_curves(group, seeds) for group in (runs, others, target))

    def ratios(weights: Floats) -> Floats:
        level = weights @ wanted[1][:, -1]
        spent = (weights @ theirs[0])[:, -1]
        reference = (
            spent
            if whole
            else np.minimum(_crossing(weights @ theirs[0], weights @ theirs[1], level), spent)
        )
        return _crossing(weights @ mine[0], weights @ mine[1], level) / np.maximum(reference, 1.0)

    drawn = ratios(seed_weights(len(seeds), NUM_RESAMPLES))
    low, high = np.quantile(
        drawn, [0.025, 0.975], method="inverted_cdf"
    )  # no interpolation towards infinity
    return Interval(
        float(ratios(np.ones((1, len(seeds))) / len(seeds))[0]), float(low), float(high)
    )


def _curves(runs: Sequence[RunResult], seeds: Sequence[int]) -> tuple[Floats, Floats]:
    """Rollouts and worst-task accuracy at the evaluations that all of these seeds have, shape (seeds, T) each."""
    chosen = [next(run for run in runs if run.seed == seed) for seed in seeds]
    common = sorted(set.intersection(*(set(run.steps.tolist()) for run in chosen)))
    rows = [[run.steps.tolist().index(step) for step in common] for run in chosen]
    costs = np.array([run.rollouts[row] for run, row in zip(chosen, rows, strict=True)])
    return costs, np.array([run.worst[row] for run, row in zip(chosen, rows, strict=True)])


def _crossing(costs: Floats, values: Floats, levels: Floats) -> Floats:
    """Cost at which each row of values first reaches its level, shape (rows,); infinite where it does not."""
    above = values >= levels[:, None]
    rows, at = np.arange(len(values)), above.argmax(axis=1)
    before = np.maximum(at - 1, 0)
    rise = values[rows, at] - values[rows, before]
    share = np.where(at > 0, (levels - values[rows, before]) / np.where(rise > 0, rise, 1.0), 1.0)
    cost = costs[rows, before] + share * (costs[rows, at] - costs[rows, before])
    return np.where(above.any(axis=1), cost, np.inf)

"""What a method spends until its worst task is as good as another method's ends up.

On mean curves over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.errors import RunError
from mtgrpo.evidence.paired import NUM_RESAMPLES, Interval, seed_weights
from mtgrpo.evidence.results import Floats, RunResult


def final_worst(runs: Sequence[RunResult]) -> float:
    """Worst-task accuracy at the last evaluation, mean over the runs."""
    return float(np.mean([run.worst[-1] for run in runs]))


def rollouts_to(runs: Sequence[RunResult], level: float, task: str | None = None) -> float:
    """Rollouts at which the mean curve over seeds first reaches an accuracy.

    Infinite where it never does. Between two evaluations the curve is taken to be straight. A
    single run's first evaluation above a level comes too early by chance; the mean over seeds
    suffers less from that.

    Args:
        runs: Runs of one method.
        level: The accuracy.
        task: Whose; by default the worst task's.
    """
    costs, worst = _curves(runs, [run.seed for run in runs], task)
    even = np.ones((1, len(runs))) / len(runs)

    return float(_crossing(even @ costs, even @ worst, np.array([level]))[0])


def rollouts_ratio(
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    target: Sequence[RunResult],
    *,
    whole: bool = False,
) -> Interval:
    """Rollouts of `runs` over those of `others`, up to the worst-task accuracy `target` ends with.

    Args:
        runs: Runs of the method; infinite where its mean curve does not get there.
        others: Runs of the method compared with; all of its rollouts count where its mean curve
            does not get there.
        target: Runs of the method whose final accuracy is to be reached.
        whole: Divide by all rollouts of `others`, whenever they got there.

    Returns:
        The ratio with its 95 % interval over resampled seeds, the accuracy to be reached resampled
        with them. Three seeds make an interval that is too narrow. An end may be infinite.

    Raises:
        RunError: No seed in common.
    """
    seeds = {run.seed for run in runs}
    for group in (others, target):
        seeds &= {run.seed for run in group}
    if not seeds:
        raise RunError("rollouts to a level: the methods have no seed in common")

    mine, theirs, wanted = (_curves(group, sorted(seeds)) for group in (runs, others, target))

    def ratios(weights: Floats) -> Floats:
        """The ratio for each row of seed weights, shape (rows,)."""
        level = weights @ wanted[1][:, -1]
        costs, worst = weights @ theirs[0], weights @ theirs[1]

        reference = costs[:, -1]
        if not whole:
            reference = np.minimum(_crossing(costs, worst, level), reference)

        needed = _crossing(weights @ mine[0], weights @ mine[1], level)
        return needed / np.maximum(reference, 1.0)

    drawn = ratios(seed_weights(len(seeds), NUM_RESAMPLES))
    # no interpolation towards infinity
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    once = ratios(np.ones((1, len(seeds))) / len(seeds))[0]

    return Interval(float(once), float(low), float(high))


def _curves(
    runs: Sequence[RunResult], seeds: Sequence[int], task: str | None = None
) -> tuple[Floats, Floats]:
    """Rollouts and accuracy at the evaluations of all these seeds, (seeds, T) each.

    The accuracy is the worst task's, or that of one.
    """
    by_seed = {run.seed: run for run in reversed(runs)}
    chosen = [by_seed[seed] for seed in seeds]

    common = set(chosen[0].steps.tolist())
    for run in chosen[1:]:
        common &= set(run.steps.tolist())

    costs: list[Floats] = []
    worst: list[Floats] = []
    for run in chosen:
        rows = np.searchsorted(run.steps, sorted(common))
        costs.append(run.rollouts[rows])
        values = run.worst if task is None else run.accuracy[:, run.tasks.index(task)]
        worst.append(values[rows])

    return np.array(costs), np.array(worst)


def _crossing(costs: Floats, values: Floats, levels: Floats) -> Floats:
    """Cost at which each row of values first reaches its level, shape (rows,).

    Infinite where it does not.
    """
    above = values >= levels[:, None]  # (rows, T)
    rows = np.arange(len(values))
    at = above.argmax(axis=1)  # (rows,), like all below
    before = np.maximum(at - 1, 0)

    rise = values[rows, at] - values[rows, before]
    missing = levels - values[rows, before]
    share = np.where(at > 0, missing / np.where(rise > 0, rise, 1.0), 1.0)
    cost = costs[rows, before] + share * (costs[rows, at] - costs[rows, before])

    return np.where(above.any(axis=1), cost, np.inf)

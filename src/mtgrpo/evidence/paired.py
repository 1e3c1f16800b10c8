"""Two methods on the same seeds and the same test prompts: differences with bootstrap intervals.

Two levels are resampled, as both vary: seeds (training runs), and test prompts within each task. Both methods get the
same resample, so what they share cancels. Of n seeds n - 1 are drawn, which makes the variance over seeds unbiased
(Rao and Wu, 1988). With three seeds and a large spread between them the interval is still somewhat too narrow
(tests/evidence/test_paired.py measures it); the differences seed by seed are reported beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mtgrpo.errors import RunError
from mtgrpo.evidence.results import Floats, RunResult

NUM_RESAMPLES = 2000
LEVEL = 0.95
COSTS = ("steps", "rollouts", "seconds")


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside: the sign of the value is known."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PairedComparison:
    """A method minus another one. Differences are in accuracy, in [-1, 1]; `change` is in percent.

    Attributes:
        method: The one.
        other: The other one.
        at: ``"steps"``: at the last evaluation; ``"rollouts"``: at the most rollouts that every run of the two has.
        cost: Steps or rollouts compared at.
        seeds: Seeds both have.
        worst: Difference of the worst-task accuracies.
        mean: Difference of the mean accuracies.
        change: Average relative change per task (paper, section 5).
        worst_by_seed: Differences of the worst-task accuracies, seed by seed.
    """

    method: str
    other: str
    at: str
    cost: float
    seeds: tuple[int, ...]
    worst: Interval
    mean: Interval
    change: Interval
    worst_by_seed: tuple[float, ...]


def compare(
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    *,
    at: str = "steps",
    tasks: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> PairedComparison:
    """A method against another one, paired by seed and by test prompt.

    Args:
        runs: Of the method.
        others: Of the other method; seeds that only one of the two has are left out.
        at: ``"steps"`` or ``"rollouts"``; between two evaluations accuracies are taken to change linearly.
        tasks: Only these; all by default.
        num_resamples: Of the bootstrap, whose generator always starts from the same seed.

    Raises:
        RunError: No seed in common, different tasks, or runs without accuracies prompt by prompt.
    """
    mine, theirs = {run.seed: run for run in runs}, {run.seed: run for run in others}
    seeds = tuple(sorted(mine.keys() & theirs.keys()))
    if not seeds:
        raise RunError("comparison: the two methods have no seed in common")
    pairs = [(mine[seed], theirs[seed]) for seed in seeds]
    names = tuple(tasks or pairs[0][0].tasks)
    cost = min(float(getattr(run, at)[-1]) for pair in pairs for run in pair)
    a = [[_prompts_at(one, task, at, cost) for one, _ in pairs] for task in names]
    b = [[_prompts_at(one, task, at, cost) for _, one in pairs] for task in names]
    once = _statistics(a, b, None, np.ones((1, len(seeds))) / len(seeds))
    counts = _prompt_counts(tuple(values[0].size for values in a), num_resamples)
    drawn = _statistics(a, b, counts, seed_weights(len(seeds), num_resamples))
    worst, mean, change = (interval_of(float(v[0]), d) for v, d in zip(once, drawn, strict=True))
    by_seed = tuple(
        min(float(a[k][s].mean()) for k in range(len(names)))
        - min(float(b[k][s].mean()) for k in range(len(names)))
        for s in range(len(seeds))
    )
    return PairedComparison(
        pairs[0][0].method, pairs[0][1].method, at, cost, seeds, worst, mean, change, by_seed
    )


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
        ratios: Of ``steps``, ``rollouts`` and ``seconds`` to the baseline's: geometric mean over the seeds at which
            both reached it, with its 95 % bootstrap interval over seeds; without an entry where there is no such seed.
        num_paired: Those seeds.
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
    """Cost of the first evaluation at or above `threshold`, and its ratio to the baseline's, paired by seed."""
    reached, theirs = _costs(runs, threshold), _costs(baseline, threshold)
    # A run that starts there has cost nothing: no ratio to it.
    paired = [
        seed
        for seed in sorted(reached.keys() & theirs.keys())
        if reached[seed][0] > 0 and theirs[seed][0] > 0
    ]
    medians = np.median(list(reached.values()), axis=0) if reached else np.full(len(COSTS), np.nan)
    ratios: dict[str, Interval] = {}
    if paired:
        weights = seed_weights(len(paired), NUM_RESAMPLES)
        for i, name in enumerate(COSTS):
            logs = np.log([reached[seed][i] / theirs[seed][i] for seed in paired])
            inner = interval_of(float(logs.mean()), weights @ logs)
            ratios[name] = Interval(
                *(float(np.exp(v)) for v in (inner.value, inner.low, inner.high))
            )
    steps, rollouts, seconds = (float(value) for value in medians)
    return ThresholdCost(
        threshold, len(runs), len(reached), steps, rollouts, seconds, ratios, len(paired)
    )


def _costs(runs: Sequence[RunResult], threshold: float) -> dict[int, list[float]]:
    """Seed -> what the first evaluation at or above the threshold had cost."""
    return {
        run.seed: [float(getattr(run, name)[i]) for name in COSTS]
        for run in runs
        if (i := _first(run, threshold)) is not None
    }


def _first(run: RunResult, threshold: float) -> int | None:
    above = np.flatnonzero(run.worst >= threshold)
    return int(above[0]) if above.size else None


def seed_weights(size: int, num: int) -> Floats:
    """Weights of the seeds in each resample, shape (num, size), always the same ones: with one seed, 1."""
    drawn = max(1, size - 1)
    return np.random.default_rng(0).multinomial(drawn, np.ones(size) / size, num) / drawn


@lru_cache(maxsize=4)
def _prompt_counts(sizes: tuple[int, ...], num: int) -> tuple[NDArray[np.uint8], ...]:
    """How often each prompt of each task is drawn, shape (num, prompts) each; kept, as all comparisons share them."""
    generator = np.random.default_rng(1)
    return tuple(
        generator.multinomial(n, np.ones(n) / n, num).clip(max=255).astype(np.uint8) for n in sizes
    )


def _prompts_at(run: RunResult, task: str, at: str, cost: float) -> Floats:
    """Accuracy of each of the task's prompts when so many steps or rollouts are spent, shape (prompts,)."""
    if task not in run.prompts:
        raise RunError(
            f"{run.method}, seed {run.seed}: no accuracies prompt by prompt for {task!r}; evaluate again"
        )
    costs, values = getattr(run, at), run.prompts[task]
    i = int(np.searchsorted(costs, cost))
    if i == 0 or costs[i] == cost:
        return values[i]
    share = (cost - costs[i - 1]) / (costs[i] - costs[i - 1])
    return (1 - share) * values[i - 1] + share * values[i]


def _statistics(
    a: Sequence[Sequence[Floats]],
    b: Sequence[Sequence[Floats]],
    counts: Sequence[NDArray[np.uint8]] | None,
    seed_weights: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Differences of worst and mean accuracy and the relative change, each of shape (resamples,).

    `a` and `b` hold accuracies by task, seed and prompt; `counts` by task how often each prompt is drawn: once each
    without it.
    """
    sides: list[Floats] = []
    for k, values in enumerate(map(np.array, zip(a, b, strict=True))):  # (2, seeds, prompts)
        size = values.shape[2]
        drawn = (
            np.ones((1, size), dtype=np.float32) if counts is None else counts[k].astype(np.float32)
        )
        means = drawn @ values.reshape(-1, size).T.astype(np.float32) / size
        sides.append(means.astype(np.float64).reshape(len(drawn), 2, -1))
    first, second = np.moveaxis(np.array(sides), 2, 0)  # (tasks, resamples, seeds) each
    worst = ((first.min(axis=0) - second.min(axis=0)) * seed_weights).sum(axis=1)
    mean = ((first.mean(axis=0) - second.mean(axis=0)) * seed_weights).sum(axis=1)
    ours, theirs = ((side * seed_weights).sum(axis=2) for side in (first, second))
    change = 100 * ((ours - theirs) / np.maximum(theirs, 1e-9)).mean(axis=0)
    return worst, mean, change


def interval_of(value: float, drawn: Floats) -> Interval:
    """A value with the interval that its resamples give."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))

"""Two methods on the same seeds and the same test prompts: differences with bootstrap intervals.

Two levels are resampled, as both vary: seeds (training runs), and test prompts within each task.
Both methods get the same resample, so what they share cancels. Of n seeds n - 1 are drawn, which
makes the variance over seeds unbiased (Rao and Wu, 1988). With three seeds and a large spread
between them the interval is still somewhat too narrow (tests/evidence/test_paired.py measures
it); the differences seed by seed are reported beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mtgrpo.errors import RunError, counted
from mtgrpo.evidence.results import Floats, RunResult

NUM_RESAMPLES = 2000
LEVEL = 0.95


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
        method: The method.
        other: The method compared with.
        at: ``"steps"``: at the last evaluation; ``"rollouts"`` or ``"seconds"``: at the most that
            every run of the two has.
        cost: Steps, rollouts or seconds at which they are compared.
        seeds: Seeds both have.
        worst: Difference of the worst-task accuracies.
        mean: Difference of the mean accuracies.
        change: Average relative change per task (paper, section 5).
        worst_by_seed: Differences of the worst-task accuracies, seed by seed.
        tasks: Difference of each task's accuracies.
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
    tasks: Mapping[str, Interval]


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
        runs: Runs of the method.
        others: Runs of the other method; seeds that only one of the two has are left out.
        at: ``"steps"``, ``"rollouts"`` or ``"seconds"``; between two evaluations accuracies are
            taken to change linearly.
        tasks: Tasks to compare; all by default.
        num_resamples: Resamples of the bootstrap, whose generator always starts from the same seed.

    Raises:
        RunError: No seed in common, different tasks, or runs without accuracies prompt by prompt
            or with different test prompts.
    """
    mine = {run.seed: run for run in runs}
    theirs = {run.seed: run for run in others}
    seeds = tuple(sorted(mine.keys() & theirs.keys()))
    if not seeds:
        raise RunError("comparison: the two methods have no seed in common")

    ours, others = [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    cost = min(float(getattr(run, at)[-1]) for run in (*ours, *others))
    names = tuple(tasks or ours[0].tasks)

    a = [[_prompts_at(run, task, at, cost) for run in ours] for task in names]
    b = [[_prompts_at(run, task, at, cost) for run in others] for task in names]
    for task, of_a, of_b in zip(names, a, b, strict=True):
        sizes = sorted({values.size for values in (*of_a, *of_b)})
        if len(sizes) > 1:
            raise RunError(
                f"comparison: {task!r} was evaluated on {counted(sizes[0], 'prompt')} here and "
                f"{sizes[-1]} "
                "there; evaluate the runs alike"
            )

        # A prompt that could not be scored in one of the runs is compared in none.
        known = ~np.isnan([*of_a, *of_b]).any(axis=0)
        of_a[:], of_b[:] = [v[known] for v in of_a], [v[known] for v in of_b]

    once = _statistics(a, b, None, np.ones((1, len(seeds))) / len(seeds))
    counts = _prompt_counts(tuple(by_seed[0].size for by_seed in a), num_resamples)
    drawn = _statistics(a, b, counts, seed_weights(len(seeds), num_resamples))
    worst, mean, change, *by_task = [
        interval_of(float(v[0]), d) for v, d in zip(once, drawn, strict=True)
    ]

    worst_by_seed: list[float] = []
    for s in range(len(seeds)):
        our_worst = min(float(by_seed[s].mean()) for by_seed in a)
        their_worst = min(float(by_seed[s].mean()) for by_seed in b)
        worst_by_seed.append(our_worst - their_worst)

    return PairedComparison(
        method=ours[0].method,
        other=others[0].method,
        at=at,
        cost=cost,
        seeds=seeds,
        worst=worst,
        mean=mean,
        change=change,
        worst_by_seed=tuple(worst_by_seed),
        tasks=dict(zip(names, by_task, strict=True)),
    )


def seed_weights(size: int, num: int) -> Floats:
    """Weights of the seeds in each resample, always the same ones, shape (num, size).

    With one seed its weight is 1.
    """
    drawn = max(1, size - 1)
    return np.random.default_rng(0).multinomial(drawn, np.ones(size) / size, num) / drawn


@lru_cache(maxsize=4)
def _prompt_counts(sizes: tuple[int, ...], num: int) -> tuple[NDArray[np.uint8], ...]:
    """How often each prompt of each task is drawn, shape (num, prompts) each.

    Kept, as all comparisons share them.
    """
    generator = np.random.default_rng(1)

    counts: list[NDArray[np.uint8]] = []
    for size in sizes:
        drawn = generator.multinomial(size, np.ones(size) / size, num)  # (num, size)
        counts.append(drawn.clip(max=255).astype(np.uint8))

    return tuple(counts)


def _prompts_at(run: RunResult, task: str, at: str, cost: float) -> Floats:
    """Accuracy of each of a task's prompts when `cost` is spent, shape (prompts,)."""
    if task not in run.prompts:
        raise RunError(
            f"{run.method}, seed {run.seed}: no accuracies prompt by prompt for {task!r}; "
            "evaluate again"
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
) -> tuple[Floats, ...]:
    """Differences of worst and mean accuracy, relative change, and each task's difference.

    Of shape (resamples,) each.

    Args:
        a: Accuracies of the method by task, seed and prompt.
        b: Those of the other method.
        counts: How often each prompt is drawn, by task; None takes each once.
        seed_weights: Weights of the seeds, shape (resamples, seeds).
    """
    means: list[Floats] = []
    for k, (of_a, of_b) in enumerate(zip(a, b, strict=True)):
        values = np.array([of_a, of_b], dtype=np.float32)  # (2, seeds, prompts)
        num_prompts = values.shape[2]
        drawn = np.ones((1, num_prompts), dtype=np.float32)
        if counts is not None:
            drawn = counts[k].astype(np.float32)

        sums = drawn @ values.reshape(-1, num_prompts).T  # (resamples, 2 * seeds)
        mean = (sums / num_prompts).astype(np.float64)
        means.append(mean.reshape(len(drawn), 2, -1))

    ours, theirs = np.moveaxis(np.array(means), 2, 0)  # (tasks, resamples, seeds) each

    worst = ((ours.min(axis=0) - theirs.min(axis=0)) * seed_weights).sum(axis=1)
    mean = ((ours.mean(axis=0) - theirs.mean(axis=0)) * seed_weights).sum(axis=1)

    our_tasks = (ours * seed_weights).sum(axis=2)  # (tasks, resamples)
    their_tasks = (theirs * seed_weights).sum(axis=2)
    change = 100 * ((our_tasks - their_tasks) / np.maximum(their_tasks, 1e-9)).mean(axis=0)

    return worst, mean, change, *(our_tasks - their_tasks)


def interval_of(value: float, drawn: Floats) -> Interval:
    """A value with the interval that its resamples give."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))

"""What can be read off a run, real or simulated, about how its tasks were learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.errors import RunError
from mtgrpo.runlog import Run
from mtgrpo.runlog.steps import StepLine, counts_of, step_lines, values_of
from mtgrpo.simulation.policy import FORMAT_REWARD
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.task import SimulatedTask

_BY_CORRECTNESS = ("informative", "strict", "none")
"""Filters whose acceptance rate is the share of groups with correct and wrong completions."""


@dataclass(frozen=True, repr=False)
class Observations:
    """What `fit` needs of a run, over T logged steps and K tasks.

    Attributes:
        tasks: Task names.
        group_size: Completions per group.
        filtered: Whether zero-gradient groups were dropped before training.
        steps: Number of each logged step, counted from 1, shape (T,).
        accuracy: Accuracy of all groups generated in the step, before the filter; NaN without any,
            shape (T, K).
        acceptance: Share of them with correct and wrong completions; NaN where not known, shape
            (T, K).
        generated: Groups generated, shape (T, K).
        realized: Shares of the batch, shape (T, K).
        format_skill: Share of well-formed among wrong answers at the start, shape (K,).
    """

    tasks: tuple[str, ...]
    group_size: int
    filtered: bool
    steps: Floats
    accuracy: Floats
    acceptance: Floats
    generated: Floats
    realized: Floats
    format_skill: Floats

    def __repr__(self) -> str:
        return (
            f"Observations(tasks={self.tasks!r}, group_size={self.group_size}, "
            f"filtered={self.filtered}, num_steps={len(self.steps)})"
        )

    @classmethod
    def of_result(cls, result: SimulationResult) -> Observations:
        """What a real run with these results would have logged: no true accuracies."""
        generated = result.generated.astype(np.float64)
        known = (generated > 0) & (result.group_filter in _BY_CORRECTNESS)
        rates = result.informative / np.maximum(generated, 1)
        formatted = np.full(len(result.tasks), SimulatedTask.format_skill)

        return cls(
            tasks=result.tasks,
            group_size=result.group_size,
            filtered=result.group_filter != "none",
            steps=np.arange(1.0, result.steps + 1),
            accuracy=result.observed,
            acceptance=np.where(known, rates, np.nan),
            generated=generated,
            realized=result.realized,
            format_skill=formatted,
        )

    @classmethod
    def of_run(cls, run: Run) -> Observations:
        """The logged steps of a run directory.

        Raises:
            RunError: Its configuration lacks what is needed, or it has no tasks.
        """
        try:
            group_size = int(run.config["group_size"])
            group_filter = str(run.config["sampler"]["group_filter"])
            updates = int(run.config.get("updates_per_step", 1))
        except (KeyError, TypeError, ValueError):
            raise RunError(
                f"{run.path}: config.yaml lacks group_size or sampler.group_filter; "
                "fit needs a run of `mtgrpo train`"
            ) from None

        if not run.tasks:
            raise RunError(f"{run.path}: no task names; fit needs a run of `mtgrpo train`")

        lines = step_lines(run)
        accuracy = _column(run, lines, values_of, "accuracy")
        reward = _column(run, lines, values_of, "reward")
        generated = _column(run, lines, counts_of, "num_generated")
        realized = _column(run, lines, counts_of, "realized_ratio")
        acceptance = _column(run, lines, values_of, "acceptance_rate")
        if group_filter not in _BY_CORRECTNESS:
            acceptance = np.full_like(acceptance, np.nan)

        # logs count policy updates
        steps = np.array([line.metrics.step for line in lines], dtype=np.float64) / updates

        return cls(
            tasks=run.tasks,
            group_size=group_size,
            filtered=group_filter != "none",
            steps=steps,
            accuracy=accuracy,
            acceptance=acceptance,
            generated=np.nan_to_num(generated),
            realized=np.nan_to_num(realized),
            format_skill=_format_skill(accuracy, reward),
        )


def _column(
    run: Run,
    lines: Sequence[StepLine],
    read: Callable[[Sequence[StepLine], str], list[float]],
    metric: str,
) -> Floats:
    """A metric of every task at every logged step, shape (T, K)."""
    columns = [read(lines, f"task/{task}/{metric}") for task in run.tasks]
    return np.array(columns, dtype=np.float64).reshape(len(run.tasks), len(lines)).T


def _format_skill(accuracy: Floats, reward: Floats) -> Floats:
    """Share of well-formed among wrong answers in the first steps, shape (K,).

    It supposes that a reward of 0.1 is what sets them apart.
    """
    start = max(5, len(accuracy) // 20)
    extra, wrong = (reward - accuracy)[:start], (1 - accuracy)[:start]
    known = ~np.isnan(extra)

    earned = np.where(known, extra, 0.0).sum(axis=0)  # (K,)
    possible = np.where(known, wrong, 0.0).sum(axis=0) * FORMAT_REWARD
    unknown = np.full(len(possible), 0.5)
    share = np.divide(earned, possible, out=unknown, where=possible > 0)

    return np.clip(share, 0.05, 0.95)

"""What a simulation leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgrpo.core.metrics import first_reached
from mtgrpo.core.types import Floats, Ints


@dataclass(frozen=True, repr=False)
class SimulationResult:
    """One simulated run of T steps over K tasks; arrays with T + 1 rows begin before step 1.

    Attributes:
        tasks: Task names; columns of the arrays.
        method: Preset name, or the name of the rule.
        batch_size: Groups per step.
        group_size: Completions per group.
        seed: Seed of the run.
        accuracy: True expected accuracy, without sampling noise, shape (T + 1, K).
        observed: Accuracy of the groups generated in the step, NaN for tasks without any, shape
            (T, K).
        weights: Task weights the step used, shape (T, K).
        realized: Shares of the groups trained on, shape (T, K).
        generated: Groups generated, shape (T, K).
        informative: Generated groups that the filter passes, shape (T, K).
        skipped: Prompts that the memory passed over, shape (T, K).
        rounds: Generation rounds, shape (T,).
        rollouts: Completions generated so far, shape (T + 1,).
        shortfall: Groups by which quotas were unmet, shape (T,).
        group_filter: Name of the filter in `mtgrpo.core.filters.FILTERS`; ``custom`` for another
            function.
    """

    tasks: tuple[str, ...]
    method: str
    batch_size: int
    group_size: int
    seed: int
    accuracy: Floats
    observed: Floats
    weights: Floats
    realized: Floats
    generated: Ints
    informative: Ints
    skipped: Ints
    rounds: Ints
    rollouts: Ints
    shortfall: Ints
    group_filter: str

    def __repr__(self) -> str:
        return (
            f"SimulationResult(method={self.method!r}, seed={self.seed}, steps={self.steps}, "
            f"rollouts={self.rollouts[-1]}, worst_accuracy={self.worst_accuracy[-1]:.3f}, "
            f"mean_accuracy={self.mean_accuracy[-1]:.3f})"
        )

    @property
    def steps(self) -> int:
        """Number of steps, T."""
        return len(self.rounds)

    @property
    def worst_accuracy(self) -> Floats:
        """Accuracy of the worst task, shape (T + 1,)."""
        return self.accuracy.min(axis=1)

    @property
    def mean_accuracy(self) -> Floats:
        """Mean accuracy of the tasks, shape (T + 1,)."""
        return self.accuracy.mean(axis=1)

    @property
    def groups_generated(self) -> Ints:
        """Groups generated per step, shape (T,)."""
        return self.generated.sum(axis=1)

    @property
    def zero_gradient_rate(self) -> Floats:
        """Share of each task's generated groups without a gradient, shape (K,); NaN without any."""
        with np.errstate(invalid="ignore"):
            return 1 - self.informative.sum(axis=0) / self.generated.sum(axis=0)

    def steps_to(self, threshold: float) -> int | None:
        """Steps until the worst task reaches the threshold; None if it never does."""
        return self._reached(range(self.steps + 1), threshold)

    def rollouts_to(self, threshold: float) -> int | None:
        """Completions until the worst task reaches the threshold; None if it never does."""
        return self._reached(self.rollouts.tolist(), threshold)

    def summary(self) -> dict[str, Any]:
        """The run in plain, JSON-able values."""
        tasks: dict[str, dict[str, float]] = {}
        for k, name in enumerate(self.tasks):
            tasks[name] = {
                "accuracy_before": float(self.accuracy[0, k]),
                "accuracy_after": float(self.accuracy[-1, k]),
                "mean_weight": float(self.weights[:, k].mean()),
                "mean_share": float(self.realized[:, k].mean()),
                "num_generated": int(self.generated[:, k].sum()),
            }

        return {
            "method": self.method,
            "seed": self.seed,
            "steps": self.steps,
            "rollouts": int(self.rollouts[-1]),
            "worst_accuracy": float(self.worst_accuracy[-1]),
            "mean_accuracy": float(self.mean_accuracy[-1]),
            "rounds_per_step": float(self.rounds.mean()),
            "tasks": tasks,
        }

    def _reached(self, costs: Sequence[float], threshold: float) -> int | None:
        cost = first_reached(costs, self.worst_accuracy.tolist(), threshold)
        if cost is None:
            return None

        return int(cost)

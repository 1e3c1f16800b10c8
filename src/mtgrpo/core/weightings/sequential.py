"""One group of tasks after the other: the sequential baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError


class Sequential(TaskWeighting):
    """Uniform weights over one phase's tasks and 0 for the others; then the next phase.

    Args:
        phases: Task names of each phase, in order; together every task exactly once.
            Empty: each task is a phase of its own, in task order.
        steps_per_phase: Updates a phase lasts. The last phase goes on to the end.

    Source: paper, appendix D.3 (SEQ-GRPO, SEQ-DAPO), where a phase is a task family.
    """

    def __init__(self, phases: Sequence[Sequence[str]] = (), steps_per_phase: int = 240) -> None:
        if steps_per_phase < 1:
            raise ConfigError(
                f"Sequential: steps_per_phase={steps_per_phase}; it must be at least 1"
            )
        self.phases = [list(phase) for phase in phases]
        self.steps_per_phase = steps_per_phase

    def _start(self, num_tasks: int) -> None:
        phases = self.phases or [[name] for name in self._tasks]
        named = [name for phase in phases for name in phase]
        if sorted(named) != sorted(self._tasks) or not all(phases):
            raise ConfigError(
                f"Sequential: phases {phases} for tasks {list(self._tasks)}; "
                "every task belongs to exactly one phase"
            )

        self._table = np.zeros((len(phases), num_tasks))
        for row, phase in zip(self._table, phases, strict=True):
            row[[self._index[name] for name in phase]] = 1.0 / len(phase)
        self._num_updates = 0

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        self._num_updates += 1

    def _weights(self) -> Floats:
        phase = self._num_updates // self.steps_per_phase
        return self._table[min(phase, len(self._table) - 1)]

    def _state(self) -> State:
        return {"num_updates": self._num_updates}

    def _load(self, state: State) -> None:
        self._num_updates = int(state["num_updates"])

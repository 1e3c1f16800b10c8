"""One group of tasks after the other: the sequential baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError


class Sequential(TaskWeighting):
    """Uniform weights over one phase's tasks and 0 for the others; then the next phase.

    Args:
        phases: Task names of each phase, in order; together every task exactly once.
            Empty: each task is a phase of its own, in task order.
        steps_per_phase: Updates a phase lasts. The last phase goes on to the end.

    When tasks change, one that joins belongs to the phase that names it, or else to a new one at
    the end; the steps of a phase that has lost all its tasks go to the next.

    Source: paper, appendix D.3 (SEQ-GRPO, SEQ-DAPO), where a phase is a task family.
    """

    per_task = ()

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

        self._num_updates = 0
        self._set_phases(phases, self._tasks)

    def _set_phases(self, phases: list[list[str]], tasks: tuple[str, ...]) -> None:
        # Named phases that are empty, or of tasks that have left, keep their place.
        self._present_phases = [[name for name in phase if name in tasks] for phase in phases]

        rows: list[Floats] = []
        for place, phase in enumerate(self._present_phases):
            at_hand = phase or self._instead_of(place)
            rows.append(np.array([name in at_hand for name in tasks]) / len(at_hand))
        self._table = np.array(rows)  # (phases, K)

    def _instead_of(self, place: int) -> list[str]:
        later = [phase for phase in self._present_phases[place:] if phase]
        earlier = [phase for phase in self._present_phases[:place] if phase]
        return later[0] if later else earlier[-1]

    def _change_tasks(self, change: TaskChange) -> None:
        phases = [list(phase) for phase in self._present_phases]

        for i in np.flatnonzero(change.is_new):
            name = change.after[i]
            stated = [place for place, phase in enumerate(self.phases) if name in phase]
            if stated:
                phases[stated[0]].append(name)
            else:
                phases.append([name])
        self._set_phases(phases, change.after)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        self._num_updates += 1

    def _weights(self) -> Floats:
        phase = self._num_updates // self.steps_per_phase
        return self._table[min(phase, len(self._table) - 1)]

    def _state(self) -> State:
        return {"num_updates": self._num_updates, "phases": self._present_phases}

    def _load(self, state: State) -> None:
        self._num_updates = int(state["num_updates"])
        self._set_phases([list(phase) for phase in state["phases"]], self._tasks)

"""Mean costs of groups, as the engine told them."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State

DECAY = 0.8
PRIOR = 0.5


class GroupCosts:
    """Mean cost of a group of each task, older steps fading; leans on the mean of all tasks.

    ``c_k = (cost_k + prior * c) / (groups_k + prior)`` with c the mean of all tasks. The sums keep
    `DECAY` of their weight per further step in which the task had groups.

    Args:
        num_tasks: K.
        prior: Groups that the mean of all tasks counts as; 0 where all groups of a task cost the
            same, so that one of them tells what the next will cost.
    """

    def __init__(self, num_tasks: int, prior: float = PRIOR) -> None:
        self.prior = prior
        self._cost, self._groups = np.zeros(num_tasks), np.zeros(num_tasks)

    def observe(self, costs: Floats, groups: Floats) -> None:
        """Take in a step.

        Args:
            costs: What each task's groups cost together, shape (K,).
            groups: How many there were.
        """
        fade = np.where(groups > 0, DECAY, 1.0)
        self._cost = self._cost * fade + costs
        self._groups = self._groups * fade + groups

    def means(self) -> Floats | None:
        """The means, shape (K,), all above 0; None while nothing has cost anything."""
        if not self._cost.any():
            return None

        overall = self._cost.sum() / self._groups.sum()
        known = self._groups + self.prior

        means: Floats = np.full(len(known), overall)
        np.divide(self._cost + self.prior * overall, known, out=means, where=known > 0)
        return means

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; new ones have the mean of all."""
        change.carry(self, ("_cost", "_groups"), {"_cost": 0.0, "_groups": 0.0})

    def state_dict(self) -> State:
        """JSON-able state."""
        return {"cost": self._cost.tolist(), "groups": self._groups.tolist()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._cost = np.array(state["cost"], dtype=np.float64)
        self._groups = np.array(state["groups"], dtype=np.float64)

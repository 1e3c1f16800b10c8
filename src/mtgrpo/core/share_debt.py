"""What tasks are owed of the loss: shares that a step could not give them, for later steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State

# A task gives up at most this part of its share in a step to those that are owed something.
MOST_GIVEN = 0.5


class ShareDebt:
    """Each task's weights so far less its shares of the loss so far.

    A task without an informative group has no share in a step; what the others had instead they
    owe it. It is paid when the task has informative groups again, by those that are ahead. So the
    mean share over T steps misses the mean weight by at most ``owed / T``, unless a debt comes to
    its limit: what a task that is never informative is owed beyond it is forgiven.

    Args:
        num_tasks: K.
        limit: Most that a task can be owed, in steps' losses.

    Attributes:
        owed: What each task is owed, shape (K,); negative for tasks that are ahead. Sums to 0.
        forgiven: What of it was forgiven in the last step, as above the limit.
    """

    def __init__(self, num_tasks: int, limit: float) -> None:
        self.limit = limit
        self.owed: Floats = np.zeros(num_tasks)
        self.forgiven = 0.0

    def settle(self, weights: Floats, shares: Floats) -> None:
        """Take down a step.

        Args:
            weights: z, shape (K,).
            shares: What each task had of the loss, shape (K,); all 0 when nothing was trained on,
                which changes nothing.
        """
        self.forgiven = 0.0
        if not shares.any():
            return

        owed = self.owed + weights - shares
        kept = np.minimum(owed, self.limit)
        self.forgiven = float((owed - kept).sum())

        # Those that are ahead need not give what nobody is owed any more.
        ahead = np.minimum(kept, 0.0)
        if self.forgiven and ahead.any():
            kept = kept + self.forgiven * ahead / ahead.sum()
        self.owed = kept

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; new ones are owed nothing.

        What those that leave were owed is forgiven; what they were ahead, nobody gives back: the
        claims on the other side shrink in proportion, so that debts sum to 0.
        """
        owed = change.carried(self.owed, 0.0)
        if len(change.kept) == len(change.before):
            self.owed = owed
            return

        ahead, behind = float(-owed[owed < 0].sum()), float(owed[owed > 0].sum())
        common = min(ahead, behind)

        self.owed = owed * np.where(owed < 0, common / (ahead or 1.0), common / (behind or 1.0))

    def state_dict(self) -> State:
        """JSON-able state."""
        return {"owed": self.owed.tolist()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self.owed = np.array(state["owed"], dtype=np.float64)


def targets_of_loss(
    weights: Floats, owed: Floats, is_present: NDArray[np.bool_], paid_now: float = 1.0
) -> Floats:
    """Shares that tasks should have of a step's loss, shape (K,); they sum to 1, or are all 0.

    The weights of those present, scaled to sum to 1. What is owed to some of them comes from
    those that are ahead.

    Args:
        weights: Shares where nothing is owed, of any sum, shape (K,).
        owed: What each task is owed, shape (K,); negative for tasks that are ahead.
        is_present: Which tasks have informative groups, shape (K,).
        paid_now: Part of the debts that is paid in this step, above 0 and at most 1.
    """
    shares = np.where(is_present, weights, 0.0)
    if not shares.any():
        return shares

    shares = shares / shares.sum()
    asked = np.where(is_present, np.maximum(owed, 0.0), 0.0)
    given = np.minimum(np.maximum(-owed, 0.0), MOST_GIVEN * shares)

    paid = min(paid_now * float(asked.sum()), float(given.sum()))
    if not paid:
        return shares
    return shares + paid * asked / asked.sum() - paid * given / given.sum()

"""Whose prompt is next when all that the batch has asked for is out: dealing ahead by need."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.types import Floats, Ints
from mtgrpo.errors import ConfigError

# Below it an acceptance rate says how little is known, not how many prompts are needed.
LEAST_RATE_AHEAD = 1 / 32
AWAITED = 4


class DealAhead(Described):
    """Prompts ahead in proportion to what the next batches will need of each task.

    A batch needs about ``B z_k / a_k`` prompts of task k. Dealt by the weights alone, easy tasks
    pile up while every batch waits for tasks of which few groups are informative. A task is dealt
    `max_ahead` batches' worth and no more, except while the batch is waiting for it: then workers
    have nothing better to do than its prompts, and it may get ahead `AWAITED` times as far, so that
    later batches find slow tasks finished. This adapts to any latencies without a clock.

    Args:
        max_ahead: Batches' worth of prompts that a task may be ahead.
    """

    def __init__(self, max_ahead: float = 16.0) -> None:
        if not 0 <= max_ahead < np.inf:
            raise ConfigError(
                f"ledger: max_ahead={max_ahead}; a finite number of batches, 0 or more, is needed"
            )
        self.max_ahead = max_ahead

    def wanted(self, needs: Floats, ahead: Ints, awaited: Ints) -> np.ndarray:
        """Whether another prompt ahead would be of use, per task, of shape (K,).

        Args:
            needs: Prompts that a batch needs, see `batch_needs`; of shape (K,), as the others are.
            ahead: Prompts ahead now.
            awaited: Prompts that the batch waits for.
        """
        batches = np.where(awaited > 0, AWAITED * self.max_ahead, self.max_ahead)
        return (needs > 0) & (ahead < np.ceil(batches * needs))

    def next_task(self, needs: Floats, ahead: Ints, awaited: Ints) -> int:
        """The task whose prompts ahead last for the fewest batches, among those wanted.

        An engine that cannot wait gets a prompt even where none is wanted.
        """
        wanted = self.wanted(needs, ahead, awaited)
        if not wanted.any():
            wanted = needs > 0

        # The first of equals, so it is repeatable.
        batches = (ahead + 1) / np.where(wanted, needs, 1.0)
        return int(np.argmin(np.where(wanted, batches, np.inf)))


def batch_needs(weights: Floats, rates: Floats, batch_size: int, keeps_shares: bool) -> Floats:
    """Prompts of each task that fill a batch, of shape (K,).

    Args:
        weights: Task weights z, of shape (K,).
        rates: Acceptance rates a, of shape (K,).
        batch_size: B.
        keeps_shares: Whether a batch has quotas: ``B z_k / a_k`` prompts then. Without them it is
            filled from any task, by ``B z_k / sum_j z_j a_j``.
    """
    rates = np.maximum(rates, LEAST_RATE_AHEAD)
    if keeps_shares:
        return batch_size * weights / rates
    return batch_size * weights / float(weights @ rates)

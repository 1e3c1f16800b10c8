"""Which tasks cannot use more training at present: out of reach, or stalled."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.quotas import Floats
from mtgrpo.core.types import State

REACH = 1 / 40
"""Out of reach: fewer than one in so many groups is informative."""
REACH_DECAY = 0.98
"""What a count of groups keeps of its weight per further step with news of its task."""
WINDOW = 100.0
"""Training after which a task is judged, in full batches."""
LEAST_GAIN = 0.02
"""Stalled: a window brought less than that, in accuracy, and less than twice its standard error."""
PROBE_SHARE, STALLED_SHARE = 0.05, 0.5
"""Most that such a task may get, against uniform weights: enough to notice when it comes to life."""


class Learnability:
    """Judges every task by what its training has brought, and caps the weight of those that it brings nothing.

    *Out of reach*: hardly any of its groups carries a gradient (the posterior mean of its acceptance rate, from a
    uniform prior, is below `REACH`). More prompts of it are thrown away. It keeps a probe share; one informative group
    among its probes lifts the cap.

    *Stalled*: it was trained on for the worth of `WINDOW` full batches, and its level has not moved. It keeps a part of
    its uniform share, and is judged again after each further window. A task of which nearly all is solved counts too:
    its weight is small anyway.

    Arrays are in task order, of shape (K,).

    Attributes:
        out_of_reach: Which tasks are out of reach now.
        stalled: Which tasks are stalled now.
    """

    def __init__(self, num_tasks: int) -> None:
        self._generated, self._informative = np.zeros(num_tasks), np.zeros(num_tasks)
        self._spent = np.zeros(num_tasks)
        self._level, self._variance = np.full(num_tasks, np.nan), np.zeros(num_tasks)
        self.out_of_reach = np.zeros(num_tasks, dtype=bool)
        self.stalled = np.zeros(num_tasks, dtype=bool)

    def observe(
        self, generated: Floats, informative: Floats, shares: Floats, level: Floats, level_error: Floats
    ) -> None:
        """Take in a step: groups generated and informative, share of the batch, level and its standard error."""
        seen = generated > 0
        fade = np.where(seen, REACH_DECAY, 1.0)
        self._generated, self._informative = self._generated * fade + generated, self._informative * fade + informative
        self.out_of_reach = (self._informative + 1) / (self._generated + 2) < REACH
        first = seen & np.isnan(self._level)
        self._level = np.where(first, level, self._level)
        self._variance = np.where(first, level_error**2, self._variance)
        self._spent = self._spent + shares
        due = self._spent >= WINDOW
        gain, error = level - self._level, np.sqrt(self._variance + level_error**2)
        still = ~(gain >= LEAST_GAIN) & ~(gain >= 2 * error)
        self.stalled = np.where(due, still, self.stalled)
        self._level, self._variance = np.where(due, level, self._level), np.where(due, level_error**2, self._variance)
        self._spent = np.where(due, 0.0, self._spent)

    def caps(self) -> Floats:
        """The largest weight of each task; 1 where there is none."""
        size = len(self.stalled)
        caps = np.where(self.stalled, STALLED_SHARE / size, 1.0)
        return np.where(self.out_of_reach, PROBE_SHARE / size, caps)

    def dump(self) -> State:
        """JSON-able state."""
        return {name: _plain(getattr(self, name)) for name in _STATE}

    def load(self, state: State) -> None:
        """Restore what `dump` returned."""
        for name in _STATE:
            kind = bool if name in ("out_of_reach", "stalled") else np.float64
            setattr(self, name, np.array([np.nan if v is None else v for v in state[name]], dtype=kind))


_STATE = ("_generated", "_informative", "_spent", "_level", "_variance", "out_of_reach", "stalled")


def _plain(values: Floats) -> list[float | bool | None]:
    return [None if v != v else v for v in values.tolist()]


def capped(weights: Floats, caps: Floats) -> Floats:
    """The weights with none above its cap; what is cut off goes to the others in proportion to their weights.

    Both arrays have shape (K,), the weights are positive and sum to 1. Where the caps sum to less than 1 they cannot be
    kept, and the result is in proportion to them.
    """
    if caps.sum() <= 1:
        return caps / caps.sum()
    bound = np.zeros(len(weights), dtype=bool)
    while True:
        scaled = weights * ((1 - caps[bound].sum()) / weights[~bound].sum())
        over = ~bound & (scaled > caps)
        if not over.any():
            return np.where(bound, caps, scaled)
        bound |= over

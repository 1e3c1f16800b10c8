"""Which tasks cannot use more training at present: out of reach, or stalled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import CountArrays

Flags = NDArray[np.bool_]

REACH = 1 / 40
"""Out of reach: fewer than one in so many groups is informative."""
REACH_DECAY = 0.98
"""What a count of groups keeps of its weight per further step with news of its task."""
WINDOW = 60.0
"""Training after which a task is judged, in full batches."""
LEAST_GAIN = 0.01
"""Stalled: from the first to the last third of a window the accuracy rose by less than that, two
standard errors included."""
RESPITE = 240.0
"""Steps for which a stalled task is capped before it gets another window.

Doubled with each further verdict.
"""
PROBE_SHARE, STALLED_SHARE = 0.05, 0.5
"""Most that such a task may get, against uniform weights: enough to notice when it revives."""


class Learnability:
    """Judges every task by what its training has brought, and caps those that it brings nothing.

    *Out of reach*: hardly any of its groups carries a gradient. The posterior mean of
    its acceptance rate, from a uniform prior, is below `REACH`; more prompts of it are
    thrown away. It keeps a probe share; one informative group among its probes lifts
    the cap.

    *Stalled*: it was trained on for the worth of `WINDOW` full batches, and it is
    certain that it gained next to nothing. It keeps a part of its uniform share for
    `RESPITE` steps and then gets another window. A task of which nearly all is solved
    counts too: its weight is small anyway.

    Arrays are in task order, of shape (K,). All means are sums over counts, so every
    group weighs the same, whichever step it is from.

    Attributes:
        out_of_reach: Which tasks are out of reach now.
    """

    def __init__(self, num_tasks: int) -> None:
        self._generated, self._informative = np.zeros(num_tasks), np.zeros(num_tasks)

        # The window under way: what was spent on it, and of its first and its last
        # third the groups and the sum of their accuracies, each of shape (2, K).
        self._spent = np.zeros(num_tasks)
        self._groups, self._sums = np.zeros((2, num_tasks)), np.zeros((2, num_tasks))

        # Steps that a verdict would last, and steps that one still lasts.
        self._respite, self._wait = np.full(num_tasks, RESPITE), np.zeros(num_tasks)
        self.out_of_reach: Flags = np.zeros(num_tasks, dtype=bool)

    @property
    def stalled(self) -> Flags:
        """Which tasks are stalled now."""
        return self._wait > 0

    def observe(
        self, counts: CountArrays, shares: Floats, accuracy: Floats, variance: Floats
    ) -> None:
        """Take in a step.

        Args:
            counts: Groups of the step.
            shares: Share of the batch trained on.
            accuracy: Mean accuracy of the observed groups; NaN where there are none.
            variance: Variance of one group's mean accuracy.
        """
        self._observe_reach(counts.generated, counts.informative)
        self._wait = np.maximum(self._wait - 1, 0.0)

        # What happens while a task is capped says nothing of what training brings it.
        self._spent = np.where(self.stalled, 0.0, self._spent + shares)
        is_news = ~np.isnan(accuracy) & ~self.stalled
        for i, third in enumerate((self._spent < WINDOW / 3, self._spent >= 2 * WINDOW / 3)):
            self._groups[i] += np.where(is_news & third, counts.observed, 0.0)
            self._sums[i] += np.where(is_news & third, counts.observed * accuracy, 0.0)

        self._judge(self._spent >= WINDOW, variance)

    def _observe_reach(self, generated: Floats, informative: Floats) -> None:
        fade = np.where(generated > 0, REACH_DECAY, 1.0)
        self._generated = self._generated * fade + generated
        self._informative = self._informative * fade + informative
        self.out_of_reach = (self._informative + 1) / (self._generated + 2) < REACH

    def _judge(self, due: Flags, variance: Floats) -> None:
        groups = np.maximum(self._groups, 1.0)
        early, late = self._sums / groups
        error = np.sqrt(variance * (1 / groups[0] + 1 / groups[1]))

        has_news = (self._groups > 0).all(axis=0)
        is_stalled = due & has_news & (late - early + 2 * error < LEAST_GAIN)

        self._wait = np.where(is_stalled, self._respite, self._wait)
        fresh = np.where(due, RESPITE, self._respite)
        self._respite = np.where(is_stalled, 2 * self._respite, fresh)

        self._spent = np.where(due, 0.0, self._spent)
        self._groups = np.where(due, 0.0, self._groups)
        self._sums = np.where(due, 0.0, self._sums)

    def caps(self) -> Floats:
        """The largest weight of each task; 1 where there is none."""
        size = len(self._wait)
        caps = np.where(self.stalled, STALLED_SHARE / size, 1.0)
        return np.where(self.out_of_reach, PROBE_SHARE / size, caps)

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; nothing is held against new ones."""
        new = {**dict.fromkeys(_STATE, 0.0), "_respite": RESPITE, "out_of_reach": 0.0}
        change.carry(self, (*_STATE, "out_of_reach"), new)

    def state_dict(self) -> State:
        """JSON-able state."""
        state: State = {name: getattr(self, name).tolist() for name in _STATE}
        state["out_of_reach"] = self.out_of_reach.tolist()
        return state

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        for name in _STATE:
            setattr(self, name, np.array(state[name], dtype=np.float64))
        self.out_of_reach = np.array(state["out_of_reach"], dtype=bool)


_STATE = ("_generated", "_informative", "_spent", "_groups", "_sums", "_respite", "_wait")

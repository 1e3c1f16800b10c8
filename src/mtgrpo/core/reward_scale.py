"""The scale of rewards that say how good an answer is, but not whether it is right."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from mtgrpo.core.types import TOLERANCE, State
from mtgrpo.errors import ConfigError

TAIL = 0.02
"""Part of the rewards that a learnt range leaves out at either end: outliers do not set it."""
SAMPLE_SIZE = 256
"""Rewards per task that a learnt range is read from, at least, once that many were seen."""
UNKNOWN = 0.5
"""Level of a task whose rewards have not varied yet: neither favoured nor shunned."""


class RewardScale:
    """Puts mean rewards of tasks on a common scale from 0 to 1, so that tasks can be compared.

    A task's level is ``(r - low) / (high - low)``, cut off at 0 and 1. Its range is the stated
    one, or is learnt: from the 2 % to the 98 % quantile of all rewards seen so far. Where these
    are equal, as with rewards that are nearly always 0, the range is from the lowest to the
    highest reward.

    What is kept of the rewards is every n-th one, with n doubled whenever the sample is full: a
    fixed amount of memory, spread evenly over the run, and the same for the same rewards.

    Args:
        stated: Lowest and highest reward of each task for which they are known.

    Attributes:
        remarks: What the last step showed of a stated range that is too narrow, by task; said once
            in a process for each task.

    Raises:
        ConfigError: A stated range is empty or not finite.
    """

    def __init__(self, stated: Mapping[str, tuple[float, float]] | None = None) -> None:
        self.stated = dict(stated or {})
        check_ranges(self.stated)
        self._samples: dict[str, _Sample] = {}
        self.remarks: dict[str, str] = {}
        self._remarked: set[str] = set()

    def observe_step(self, rewards: Mapping[str, Sequence[float]]) -> None:
        """Take in the rewards of a step, by task."""
        self.remarks = {}
        for task, values in rewards.items():
            self.observe(task, values)
            if task in self.stated and task not in self._remarked:
                self._look_outside(task, values)

    def _look_outside(self, task: str, rewards: Sequence[float]) -> None:
        low, high = self.stated[task]
        outside = [r for r in rewards if r < low - TOLERANCE or r > high + TOLERANCE]
        if not outside:
            return

        farthest = max(outside, key=lambda reward: max(low - reward, reward - high))
        self._remarked.add(task)
        self.remarks[task] = (
            f"earns rewards outside its reward_range [{low:g}, {high:g}], such as {farthest:g}: "
            "where tasks are compared, a mean beyond its ends is cut off there; state a range that "
            "holds all of its rewards, or leave it out and it is learnt"
        )

    def observe(self, task: str, rewards: Sequence[float]) -> None:
        """Take in the rewards of a group; NaN stands for a completion that could not be scored."""
        if task in self.stated:
            return

        sample = self._samples.setdefault(task, _Sample())
        for reward in rewards:
            if not math.isnan(reward):
                sample.add(reward)

    def change_tasks(
        self, tasks: Collection[str], stated: Mapping[str, tuple[float, float]]
    ) -> None:
        """Forget all other tasks.

        Args:
            tasks: Those that there are from now on.
            stated: Their stated ranges.

        Raises:
            ConfigError: As the constructor.
        """
        check_ranges(stated)
        self.stated = dict(stated)
        self._remarked &= set(tasks)
        self._samples = {task: kept for task, kept in self._samples.items() if task in tasks}

    def reward_range(self, task: str) -> tuple[float, float] | None:
        """Lowest and highest reward of a task; None while its rewards have not varied."""
        if task in self.stated:
            return self.stated[task]
        if task not in self._samples:
            return None
        return self._samples[task].spread()

    def level(self, task: str, reward: float) -> float:
        """A mean reward on the scale from 0 to 1."""
        limits = self.reward_range(task)
        if limits is None:
            return UNKNOWN

        low, high = limits
        return min(max((reward - low) / (high - low), 0.0), 1.0)

    def state_dict(self) -> State:
        """The samples that ranges are learnt from; stated ranges belong to the tasks."""
        return {task: sample.state_dict() for task, sample in self._samples.items()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._samples = {task: _Sample.restored(kept) for task, kept in state.items()}


def check_ranges(stated: Mapping[str, tuple[float, float]]) -> None:
    """Refuse stated ranges that are none.

    Raises:
        ConfigError: One is empty or not finite.
    """
    for task, (low, high) in stated.items():
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(
                f"task {task!r}: reward_range=({low}, {high}); two finite numbers are needed, "
                "the lower one first: the least and the most that a completion can earn"
            )


class _Sample:
    """Every n-th of a stream of numbers, between `SAMPLE_SIZE` and twice as many."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.every = 1
        self.seen = 0
        self._spread: tuple[float, float] | None = None
        self._is_read = False

    def add(self, value: float) -> None:
        if self.seen % self.every == 0:
            self.values.append(value)
            self._is_read = False
        self.seen += 1

        if len(self.values) == 2 * SAMPLE_SIZE:
            self.values = self.values[::2]
            self.every *= 2

    def spread(self) -> tuple[float, float] | None:
        if not self._is_read:
            self._spread = _range(self.values)
            self._is_read = True
        return self._spread

    def state_dict(self) -> State:
        return {"values": self.values, "every": self.every, "seen": self.seen}

    @classmethod
    def restored(cls, state: State) -> _Sample:
        sample = cls()
        sample.values = [float(value) for value in state["values"]]
        sample.every, sample.seen = int(state["every"]), int(state["seen"])
        return sample


def _range(values: Sequence[float]) -> tuple[float, float] | None:
    if not values:
        return None

    low, high = np.quantile(values, [TAIL, 1 - TAIL]).tolist()
    if low < high:
        return low, high

    lowest, highest = min(values), max(values)
    return (lowest, highest) if lowest < highest else None

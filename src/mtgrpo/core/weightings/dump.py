"""DUMP: a bandit with an exploration bonus that goes where advantages are large."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import CountArrays, TaskWeighting
from mtgrpo.core.weightings.simplex import softmax
from mtgrpo.errors import ConfigError


class DUMP(TaskWeighting):
    """Large advantages earn weight, and so do tasks that were trained on little.

    ``U_k = L_k + sqrt(2 ln(n + 1) / (n_k + 1))``;  ``z = softmax(U / tau)``

    L_k is the mean absolute advantage of the task's last `window` samples, n_k the number of
    samples it was trained on so far, n the sum over tasks. The bonus fades as the run goes on. A
    task that is absent from a batch keeps its L.

    Args:
        temperature: tau.
        window: Samples that L is the mean of.
        group_size: Samples that a group counts as. What a rule is told are groups; samples are
            completions, of which the source has 16 a group.

    Source: arXiv 2504.09710; window and temperature as in its code.
    """

    uses_advantages = True
    per_task = ("_num_samples",)

    def __init__(self, temperature: float = 0.1, window: int = 300, group_size: int = 16) -> None:
        if not (temperature > 0 and window >= 1 and group_size >= 1):
            raise ConfigError(
                f"DUMP: temperature={temperature}, window={window}, group_size={group_size}; "
                "temperature must be above 0, the others at least 1"
            )
        self.temperature, self.window, self.group_size = temperature, window, group_size

    def _start(self, num_tasks: int) -> None:
        self._num_samples = np.zeros(num_tasks)

        # Per task what the window holds, oldest first: numbers of samples with their mean |A|.
        self._recent: list[list[tuple[float, float]]] = [[] for _ in range(num_tasks)]

    def _change_tasks(self, change: TaskChange) -> None:
        # New tasks have the bonus of what was never tried.
        self._carry(change, {"_num_samples": 0.0})
        recent, self._recent = self._recent, [[] for _ in change.after]
        for place, source in enumerate(change.sources):
            if source >= 0:
                self._recent[place] = recent[source]

    def _count(self, counts: CountArrays) -> None:
        self._trained = counts.trained

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        samples = self.group_size * self._trained
        self._num_samples = self._num_samples + samples

        for k, recent in enumerate(self._recent):
            if samples[k] > 0:
                recent.append((float(samples[k]), float(mean_abs_advantages[k])))
                self._recent[k] = _newest(recent, self.window)

    def _weights(self) -> Floats:
        learnability = np.array([_mean(recent) for recent in self._recent])

        total = self._num_samples.sum()
        bonus = np.sqrt(2 * np.log(total + 1) / (self._num_samples + 1))
        return softmax((learnability + bonus) / self.temperature)

    def _state(self) -> State:
        return {
            "num_samples": self._num_samples.tolist(),
            "recent": [[list(entry) for entry in recent] for recent in self._recent],
        }

    def _load(self, state: State) -> None:
        self._num_samples = np.array(state["num_samples"], dtype=np.float64)
        self._recent = [
            [(float(number), float(mean)) for number, mean in recent] for recent in state["recent"]
        ]


def _newest(entries: list[tuple[float, float]], window: float) -> list[tuple[float, float]]:
    """The entries of the last `window` samples; of the oldest one only as much as fits."""
    kept: list[tuple[float, float]] = []

    for number, mean in reversed(entries):
        kept.append((min(number, window), mean))
        window -= number
        if window <= 0:
            break
    return kept[::-1]


def _mean(entries: list[tuple[float, float]]) -> float:
    total = sum(number for number, _ in entries)
    return sum(number * mean for number, mean in entries) / total if total else 0.0

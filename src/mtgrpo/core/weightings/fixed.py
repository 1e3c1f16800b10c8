"""Weights that do not move."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError, StateError


class Uniform(TaskWeighting):
    """``z_k = 1/K``: what GRPO and DAPO do with balanced data."""

    per_task = ()

    def _start(self, num_tasks: int) -> None:
        self._z = np.full(num_tasks, 1.0 / num_tasks)

    def _change_tasks(self, change: TaskChange) -> None:
        self._start(len(change.after))

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        pass

    def _weights(self) -> Floats:
        return self._z

    def _state(self) -> State:
        return {}

    def _load(self, state: State) -> None:
        pass


class Fixed(TaskWeighting):
    """Weights the user states once.

    Args:
        weights: A non-negative number for every task, normalised to sum to 1. Tasks that join
            later, and are not named here, have the mean of those that stay.
    """

    per_task = ("_given",)

    def __init__(self, weights: Mapping[str, float]) -> None:
        if any(not w >= 0 for w in weights.values()) or not 0 < sum(weights.values()) < math.inf:
            raise ConfigError(
                f"Fixed: weights {dict(weights)}; "
                "they must be non-negative with a positive, finite sum"
            )
        self.weights_ = dict(weights)

    def _start(self, num_tasks: int) -> None:
        if set(self.weights_) != set(self._tasks):
            raise ConfigError(
                f"Fixed: weights for {sorted(self.weights_)}, tasks {sorted(self._tasks)}; "
                "give one each"
            )

        self._given = np.array([self.weights_[name] for name in self._tasks], dtype=np.float64)
        self._z = self._given / self._given.sum()

    def _change_tasks(self, change: TaskChange) -> None:
        others = change.mean_of_kept(self._given, 1.0)
        given = change.carried(self._given, others)
        for i in np.flatnonzero(change.is_new):
            given[i] = self.weights_.get(change.after[i], others)

        if not given.any():
            raise ConfigError(
                f"Fixed: the weights of tasks {list(change.after)} are all 0; "
                "keep at least one task with a weight above 0"
            )
        self._given, self._z = given, given / given.sum()

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        pass

    def _weights(self) -> Floats:
        return self._z

    def _state(self) -> State:
        return {"weights": self._given.tolist()}

    def _load(self, state: State) -> None:
        saved = np.array(state["weights"], dtype=np.float64)

        # Of the tasks that are named; the others joined with the mean.
        named = [i for i, name in enumerate(self._tasks) if name in self.weights_]
        if not np.allclose(saved[named], self._given[named]):
            raise StateError(
                f"Fixed: saved with weights {saved.tolist()}, now {self._given.tolist()}; "
                "resume with the same"
            )
        self._given, self._z = saved, saved / saved.sum()

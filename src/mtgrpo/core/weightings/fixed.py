"""Weights that do not move."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError, StateError


class Uniform(TaskWeighting):
    """``z_k = 1/K``: what GRPO and DAPO do with balanced data."""

    def _start(self, num_tasks: int) -> None:
        self._z = np.full(num_tasks, 1.0 / num_tasks)

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
        weights: A non-negative number for every task, normalised to sum to 1.
    """

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

        z = np.array([self.weights_[name] for name in self._tasks], dtype=np.float64)
        self._z = z / z.sum()

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        pass

    def _weights(self) -> Floats:
        return self._z

    def _state(self) -> State:
        return {"weights": self._z.tolist()}

    def _load(self, state: State) -> None:
        if not np.allclose(state["weights"], self._z):
            raise StateError(
                f"Fixed: saved with weights {state['weights']}, now {self._z.tolist()}; "
                "resume with the same"
            )

"""SEC: a bandit that goes where advantages are large."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.simplex import softmax
from mtgrpo.errors import ConfigError


class SEC(TaskWeighting):
    """Self-evolving curriculum: where advantages are large, there is something to learn.

    ``Q_k <- (1 - alpha) Q_k + alpha * mean |A|_k``;  ``z = softmax(Q / tau)``.

    Args:
        alpha: Learning rate of Q.
        temperature: tau.

    Source: arXiv 2505.14970, with the settings of the MT-GRPO baselines. Edge case, as in
    its code: a task absent from the batch is updated with 0, that is pulled down.
    """

    uses_advantages = True
    per_task = ("_values",)

    def __init__(self, alpha: float = 0.5, temperature: float = 0.2) -> None:
        if not (0 < alpha <= 1 and temperature > 0):
            raise ConfigError(
                f"SEC: alpha={alpha}, temperature={temperature}; "
                "alpha must be in (0, 1] and temperature above 0"
            )
        self.alpha, self.temperature = alpha, temperature

    def _start(self, num_tasks: int) -> None:
        self._values = np.zeros(num_tasks)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        self._values = (1 - self.alpha) * self._values + self.alpha * mean_abs_advantages

    def _weights(self) -> Floats:
        return softmax(self._values / self.temperature)

    def _state(self) -> State:
        return {"values": self._values.tolist()}

    def _load(self, state: State) -> None:
        self._values = np.array(state["values"], dtype=np.float64)

"""Learnability: weight where some answers are right and some are wrong."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.reward_estimate import TaskRewardEstimate, within_unit
from mtgrpo.errors import ConfigError


class SFL(TaskWeighting):
    """Sampling for learnability: the variance of a right answer, ``J (1 - J)``, sets the weight.

    ``z_k = (1 - min_share) J_k (1 - J_k) / sum_j J_j (1 - J_j) + min_share / K``; uniform weights
    where every task is all right or all wrong.

    The published methods rank single prompts or levels. Here J is a task's mean, so a task of which
    half the prompts are always right and half always wrong looks as learnable as can be.

    Args:
        min_share: Part of the weight that is always spread evenly, in (0, 1]. The source mixes its
            choice with uniform levels likewise; the size is ours.
        reward_ema: What J keeps of its past per observation.

    Source: arXiv 2408.15099 (sampling for learnability); for language models 2502.12272 (LILO).
    J outside [0, 1] is taken for the nearer end.
    """

    per_task = ()

    def __init__(self, min_share: float = 0.1, reward_ema: float = 0.5) -> None:
        if not 0 < min_share <= 1:
            raise ConfigError(f"SFL: min_share={min_share}; it must be above 0 and at most 1")

        self.min_share, self.reward_ema = min_share, reward_ema
        self._reward = TaskRewardEstimate(reward_ema)

    def _start(self, num_tasks: int) -> None:
        self._reward.reset(num_tasks)

    def _change_tasks(self, change: TaskChange) -> None:
        self._reward.change_tasks(change)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        for observed in rewards:
            self._reward.observe(observed)

    def _weights(self) -> Floats:
        uniform = np.full(len(self._tasks), 1.0 / len(self._tasks))
        success = within_unit(self._reward.filled())

        learnability = success * (1 - success)
        total = learnability.sum()
        if total <= 0:
            return uniform

        return (1 - self.min_share) * learnability / total + self.min_share * uniform

    def _state(self) -> State:
        return {"reward": self._reward.state_dict()}

    def _load(self, state: State) -> None:
        self._reward.load_state_dict(state["reward"])

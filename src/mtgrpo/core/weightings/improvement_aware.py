"""Subroutine 1: weights from rewards and improvement."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.logit_optimizer import LogitOptimizer
from mtgrpo.core.weightings.reward_estimate import TaskRewardEstimate
from mtgrpo.core.weightings.simplex import simplex_gradient, softmax
from mtgrpo.errors import ConfigError, unknown

IMPROVEMENTS = ("rewards", "surrogate")
UPDATES = ("step", "minibatch")


class ImprovementAware(TaskWeighting):
    """Improvement-aware weight update (IWU): low reward *and* low improvement earn weight.

    ``s_k = I_k + lam J_k``;  ``g_k = z_k (s_k - sum_j z_j s_j)``;  ``xi <- xi - beta
    g``; ``z = softmax(xi)``. A large `lam` comes close to strict worst-task weighting,
    a small one to balanced progress. A task that was not sampled keeps its J, with I =
    0.

    Args:
        lam: Weight of the reward against the improvement (lambda).
        weight_lr: Step size beta on the logits.
        weight_decay: Pull of the logits towards 0, that is of the weights towards
            uniform.
        improvement_clip: I_k is clipped to plus or minus this.
        reward_ema: What J keeps of its past per observation; 0 uses the latest alone.
        reward_start: J before the first observation; None starts at the first
            observation.
        improvement: ``"rewards"``: I_k is the change of J_k since the last update, free
            of charge. ``"surrogate"``: I_k is measured by the engine on the batch just
            trained on, at one more forward pass.
        updates: ``"step"``: improvements of several minibatches are added up and move
            the weights once. ``"minibatch"``: each moves them (released code).
        optimizer: ``"adamw"`` (paper), ``"adam"`` with coupled L2 (released code) or
            ``"sgd"``.

    Source: paper, Algorithm 1 and Subroutine 1.
    """

    per_task = ("_logits", "_last_improvement")

    def __init__(
        self,
        lam: float = 0.2,
        weight_lr: float = 0.025,
        weight_decay: float = 1e-5,
        improvement_clip: float = 0.1,
        reward_ema: float = 0.5,
        reward_start: float | None = None,
        improvement: str = "rewards",
        updates: str = "step",
        optimizer: str = "adamw",
    ) -> None:
        if not (0 <= lam < np.inf and improvement_clip > 0):
            raise ConfigError(
                f"ImprovementAware: lam={lam}, improvement_clip={improvement_clip}; "
                "lam must be at least 0 and improvement_clip above 0"
            )
        if improvement not in IMPROVEMENTS:
            raise ConfigError(unknown("ImprovementAware", "improvement", improvement, IMPROVEMENTS))
        if updates not in UPDATES:
            raise ConfigError(unknown("ImprovementAware", "updates", updates, UPDATES))

        self.lam, self.improvement_clip = lam, improvement_clip
        self.weight_lr, self.weight_decay, self.optimizer = weight_lr, weight_decay, optimizer
        self.reward_ema, self.reward_start = reward_ema, reward_start
        self.improvement, self.updates = improvement, updates

        self.uses_improvements = improvement == "surrogate"
        self._optimizer = LogitOptimizer(optimizer, weight_lr, weight_decay)
        self._reward = TaskRewardEstimate(reward_ema, reward_start)

    def _start(self, num_tasks: int) -> None:
        self._logits = np.zeros(num_tasks)
        self._last_improvement = np.zeros(num_tasks)
        self._reward.reset(num_tasks)

    def _change_tasks(self, change: TaskChange) -> None:
        self._carry(change, {"_last_improvement": 0.0})
        self._optimizer.change_tasks(change)
        self._reward.change_tasks(change)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        before = self._reward.values
        for observed in rewards:
            self._reward.observe(observed)

        if self.improvement == "rewards":
            # A first observation is no change.
            improvements = [np.nan_to_num(self._reward.values - before)]
        elif self.updates == "step":
            improvements = [sum(improvements, np.zeros(len(self._tasks)))]

        reward = self._reward.filled()
        for change in improvements:
            self._move(self._clipped(change), reward)

    def _clipped(self, change: Floats) -> Floats:
        return np.minimum(np.maximum(change, -self.improvement_clip), self.improvement_clip)

    def _move(self, improvement: Floats, reward: Floats) -> None:
        gradient = simplex_gradient(self._weights(), improvement + self.lam * reward)
        self._logits = self._optimizer.step(self._logits, gradient)
        self._last_improvement = improvement

    def _weights(self) -> Floats:
        return softmax(self._logits)

    def metrics(self) -> dict[str, float]:
        """``task/<name>/improvement``: I_k as it entered the last update, clipped."""
        values = self._last_improvement.tolist()
        return {
            f"task/{name}/improvement": value
            for name, value in zip(self._tasks, values, strict=True)
        }

    def _state(self) -> State:
        return {
            "logits": self._logits.tolist(),
            "optimizer": self._optimizer.state_dict(),
            "reward": self._reward.state_dict(),
            "improvement": self._last_improvement.tolist(),
        }

    def _load(self, state: State) -> None:
        self._logits = np.array(state["logits"], dtype=np.float64)
        self._optimizer.load_state_dict(state["optimizer"])
        self._reward.load_state_dict(state["reward"])
        self._last_improvement = np.array(state["improvement"], dtype=np.float64)

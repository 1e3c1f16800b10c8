"""Subroutine 2: weights from rewards alone, held back by a regulariser."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.improvement_aware import UPDATES
from mtgrpo.core.weightings.logit_optimizer import LogitOptimizer
from mtgrpo.core.weightings.reward_estimate import TaskRewardEstimate
from mtgrpo.core.weightings.simplex import simplex_gradient, softmax
from mtgrpo.errors import ConfigError, unknown


class Regularized(TaskWeighting):
    """Reward-only update: low reward earns weight, a regulariser keeps the weights together.

    ``g_k = z_k c (J_k - sum_j z_j J_j)``;  ``xi <- xi - beta g`` with an L2 shrinkage
    of xi of strength `eta`; ``z = softmax(xi)``. ``eta=0`` is strict worst-task
    optimisation: the weight collapses on the currently worst task and oscillates.

    Args:
        eta: Strength of the shrinkage (the paper uses 1e-5, 5e-4 and 1e-2).
        weight_lr: Step size beta on the logits.
        reward_scale: c; 1 in the paper, 0.2 in the released code. Under plain gradient
            descent it would scale the step; under Adam it sets the balance between the
            reward and the coupled shrinkage.
        reward_ema: What J keeps of its past per observation.
        reward_start: J before the first observation; None starts at the first
            observation.
        updates: ``"step"`` or ``"minibatch"``: one step of the logits per update, or
            one per mapping in ``improvements`` (whose values are not used), as in the
            released code.
        optimizer: ``"adam"`` couples `eta` into the gradient, ``"adamw"`` decays the
            logits beside it. They differ by far: at eta 1e-2, c = .2 and J = (.4, .8,
            .55), 720 steps of four updates end at z = (.70, .12, .19) with Adam and at
            (.9994, .0003, .0003) with AdamW.

    Source: paper, Subroutine 2.
    """

    per_task = ("_logits",)

    def __init__(
        self,
        eta: float = 5e-4,
        weight_lr: float = 0.025,
        reward_scale: float = 1.0,
        reward_ema: float = 0.5,
        reward_start: float | None = None,
        updates: str = "step",
        optimizer: str = "adam",
    ) -> None:
        if not (eta >= 0 and 0 < reward_scale < np.inf):
            raise ConfigError(
                f"Regularized: eta={eta}, reward_scale={reward_scale}; "
                "eta must be at least 0, reward_scale above 0"
            )
        if updates not in UPDATES:
            raise ConfigError(unknown("Regularized", "updates", updates, UPDATES))

        self.eta, self.weight_lr, self.optimizer = eta, weight_lr, optimizer
        self.reward_scale, self.updates = reward_scale, updates
        self.reward_ema, self.reward_start = reward_ema, reward_start

        self._optimizer = LogitOptimizer(optimizer, weight_lr, eta)
        self._reward = TaskRewardEstimate(reward_ema, reward_start)

    def _start(self, num_tasks: int) -> None:
        self._logits = np.zeros(num_tasks)
        self._reward.reset(num_tasks)

    def _change_tasks(self, change: TaskChange) -> None:
        super()._change_tasks(change)
        self._optimizer.change_tasks(change)
        self._reward.change_tasks(change)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        for observed in rewards:
            self._reward.observe(observed)

        scores = self.reward_scale * self._reward.filled()
        for _ in range(len(improvements) if self.updates == "minibatch" else 1):
            gradient = simplex_gradient(self._weights(), scores)
            self._logits = self._optimizer.step(self._logits, gradient)

    def _weights(self) -> Floats:
        return softmax(self._logits)

    def _state(self) -> State:
        return {
            "logits": self._logits.tolist(),
            "optimizer": self._optimizer.state_dict(),
            "reward": self._reward.state_dict(),
        }

    def _load(self, state: State) -> None:
        self._logits = np.array(state["logits"], dtype=np.float64)
        self._optimizer.load_state_dict(state["optimizer"])
        self._reward.load_state_dict(state["reward"])

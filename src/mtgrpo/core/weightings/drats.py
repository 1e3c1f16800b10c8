"""Minimax of the gap to a target return: the task farthest from being solved gets more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.reward_estimate import TaskRewardEstimate
from mtgrpo.core.weightings.simplex import softmax
from mtgrpo.errors import ConfigError, unknown


class DRATS(TaskWeighting):
    """The adversary of ``min over policies, max over z, of sum_k z_k (target_k - J_k)``.

    Implemented is entropic mirror ascent on the gaps, one step per update, with a fixed share:

    ``z'_k ~ z_k exp(step_size (target_k - J_k))``;  ``z <- (1 - min_share) z' + min_share / K``

    Where all targets are equal they cancel, and low J earns weight. A gap may be negative: a task
    beyond its target goes on losing weight to those that are not.

    This follows the paper's abstract only, which states the minimax objective on the gap between
    a target return and the return reached. The full text was not at hand: its update, its estimate
    of the return and its constants may be others.

    Args:
        target: Target return of the tasks without one of their own.
        targets: Target return per task; tasks left out have `target`.
        step_size: Step of the ascent, per unit of the gap.
        min_share: Part of the weight that is spread evenly in every update, in (0, 1]. It bounds
            what the weights remember, so that weight comes back when another task is the worst.
        reward_ema: What J keeps of its past per observation.

    Source: DRATS, arXiv 2605.14350 (abstract); entropic ascent as in group DRO (1911.08731), fixed
    share: Herbster and Warmuth 1998. The constants are ours.
    """

    per_task = ("_z",)

    def __init__(
        self,
        target: float = 1.0,
        targets: Mapping[str, float] | None = None,
        step_size: float = 0.1,
        min_share: float = 0.01,
        reward_ema: float = 0.5,
    ) -> None:
        if not (0 < step_size < np.inf and 0 < min_share <= 1):
            raise ConfigError(
                f"DRATS: step_size={step_size}, min_share={min_share}; "
                "step_size must be above 0, min_share above 0 and at most 1"
            )

        self.target, self.targets = target, dict(targets or {})
        if not np.isfinite([target, *self.targets.values()]).all():
            raise ConfigError(
                f"DRATS: target={target}, targets={self.targets}; finite numbers are needed"
            )

        self.step_size, self.min_share, self.reward_ema = step_size, min_share, reward_ema
        self._reward = TaskRewardEstimate(reward_ema)

    def _start(self, num_tasks: int) -> None:
        for name in self.targets:
            if name not in self._index:
                raise ConfigError(unknown("DRATS: targets", "task", name, self._index))

        self._goal = self._goals(self._tasks)
        self._reward.reset(num_tasks)
        self._z = np.full(num_tasks, 1.0 / num_tasks)

    def _goals(self, tasks: tuple[str, ...]) -> Floats:
        return np.array([self.targets.get(name, self.target) for name in tasks])

    def _change_tasks(self, change: TaskChange) -> None:
        self._goal = self._goals(change.after)
        self._reward.change_tasks(change)
        self._z = change.carried_weights(self._z)

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        for observed in rewards:
            self._reward.observe(observed)

        is_known = ~np.isnan(self._reward.values)
        if not is_known.any():
            return

        # What has not been seen has the mean gap: it is neither favoured nor shunned.
        gap = self._goal - self._reward.filled()
        gap = np.where(is_known, gap, gap[is_known].mean())

        ascended = softmax(np.log(self._z) + self.step_size * gap)
        self._z = (1 - self.min_share) * ascended + self.min_share / len(gap)

    def _weights(self) -> Floats:
        return self._z

    def _state(self) -> State:
        return {"weights": self._z.tolist(), "reward": self._reward.state_dict()}

    def _load(self, state: State) -> None:
        self._z = np.array(state["weights"], dtype=np.float64)
        self._reward.load_state_dict(state["reward"])

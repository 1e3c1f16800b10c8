"""A moving average of the task rewards J_k."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.errors import ConfigError


class TaskRewardEstimate(Described):
    """Moving average of J_k: ``J <- ema J + (1 - ema) observed``; tasks not observed keep theirs.

    It is unbiased if the observations are: over first rounds (``observe="first_round"``), whose
    sizes do not depend on what is in them. Over whole steps or rounds, as the paper and the
    released code have it, lucky observations are of few groups and count as much as others, which
    makes J too high where few groups are informative: by half to three quarters of itself with
    nine tasks and 9 groups, of which 8 % are informative.

    Args:
        ema: 0 keeps the latest observation alone (paper); 0.5 in the released code.
        start: Value before the first observation, without bias correction (released:
            0). None starts at the first observation itself.

    Attributes:
        values: The estimates, shape (K,); NaN where there is none yet.
    """

    def __init__(self, ema: float, start: float | None = None) -> None:
        if not 0 <= ema < 1:
            raise ConfigError(f"reward_ema: {ema}; it must be in [0, 1)")
        if start is not None and not np.isfinite(start):
            raise ConfigError(
                f"reward_start: {start}; a finite number is needed, "
                "or None to start at the first reward"
            )
        self.ema, self.start = ema, start
        self.values: Floats = np.zeros(0)

    def reset(self, num_tasks: int) -> None:
        """Forget everything."""
        self.values = np.full(num_tasks, np.nan if self.start is None else self.start)

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; new ones start at the mean level of those that stay.

        Without a `start` they have no estimate yet, which `filled` takes for that mean; the first
        observation then is theirs, and not taken for a change.
        """
        new = np.nan
        if self.start is not None:
            new = change.mean_of_kept(self.values, self.start)
        self.values = change.carried(self.values, new)

    def observe(self, rewards: Floats) -> None:
        """Take in one observation per task, shape (K,); NaN where there is none."""
        averaged = self.ema * self.values + (1 - self.ema) * rewards
        fresh = np.where(np.isnan(self.values), rewards, averaged)
        self.values = np.where(np.isnan(rewards), self.values, fresh)

    def filled(self) -> Floats:
        """The estimates, shape (K,), with the mean of the known ones for tasks never observed.

        So what has not been seen is neither favoured nor shunned.
        """
        known = ~np.isnan(self.values)
        if known.all():
            return self.values

        mean = self.values[known].mean() if known.any() else 0.0
        return np.where(known, self.values, mean)

    def state_dict(self) -> State:
        """The estimates; null where there is none yet."""
        return {"values": [None if np.isnan(v) else float(v) for v in self.values]}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        values = [np.nan if v is None else v for v in state["values"]]
        self.values = np.array(values, dtype=np.float64)


def mean_of_known(observations: list[Floats]) -> Floats:
    """Mean over the observations that a task has, shape (K,); NaN where it has none."""
    is_known = ~np.isnan(observations)  # (observations, K)
    sums = np.nansum(observations, axis=0)
    means = sums / np.maximum(is_known.sum(axis=0), 1)
    return np.where(is_known.any(axis=0), means, np.nan)


def within_unit(values: Floats) -> Floats:
    """The values, with those outside [0, 1] moved to the nearer end."""
    return np.minimum(np.maximum(values, 0.0), 1.0)

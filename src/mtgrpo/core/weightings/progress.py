"""How well each task is done, how fast it improves, and how sure that is."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.reward_estimate import within_unit

DRIFT = 0.01
"""Deviation of what a step changes in a task's level besides its own training.

That is transfer, forgetting and curvature.
"""
RATE_PRIOR = 0.02
"""Deviation of a rate before anything is known, in accuracy per full batch of the task."""
RATE_DRIFT = 0.0005
"""Deviation of what a step changes in a rate."""
NOISE_START, NOISE_WEIGHT, NOISE_DECAY = 0.1, 5.0, 0.999
"""Variance of one group's mean accuracy: first guess, its weight in observations, and what a
step keeps of the past."""
USUAL_DECAY = 0.998
"""What a step keeps of the past in what a task usually gets: groups, and share of the batch."""
LEAST_EVIDENCE = 0.25
"""Groups that a step counts for at least: a task that is hardly sampled is still followed."""


class TaskProgress:
    """Level J_k and rate r_k of every task, by a Kalman filter with two states.

    A step that spends the share x_k of its batch on task k is taken to move it by

        ``J_k <- J_k + r_k x_k + w``,  ``w ~ N(0, DRIFT^2)``;
        ``r_k <- r_k + v``,            ``v ~ N(0, RATE_DRIFT^2)``,

    and the mean of n fresh groups is seen as ``y_k = J_k + N(0, s_k^2 / n)``. So thirty
    groups count more than one, and the rate is what a full batch of the task would gain
    it: it does not shrink with the task's share. The variance ``s_k^2`` of one group is
    learned from the innovations, since it depends on how much the prompts of a task
    differ: ``E[(y - J)^2] = P + s^2 / n``, where P is the variance of the level.

    In the gain, n is the number of groups that the task *usually* has in a step, counting
    steps without any, and x its usual share; and an observation stands for all steps since
    the last one: with d of them its gain is d times that of one step, at most 1. The number
    at hand would keep lucky levels longer than unlucky ones: a task that looks good is asked
    less, or not at all. This way the mean of the levels over time is the mean of what was
    seen, whatever decides when and how much a task is asked.

    Levels are not forced into [0, 1], which would make low ones too high on average.

    Arrays are in task order, of shape (K,).

    Attributes:
        level: J_k, the expected mean accuracy of fresh groups.
        rate: r_k, accuracy per step if the whole batch were of that task.

    Source: own; the filter is the textbook one (Kalman 1960), its noise estimate that of
    Mehra (1970).
    """

    def __init__(self, num_tasks: int) -> None:
        self.level: Floats = np.full(num_tasks, 0.5)
        self.rate: Floats = np.zeros(num_tasks)

        self._var_level = np.full(num_tasks, 0.25)
        self._var_rate = np.full(num_tasks, RATE_PRIOR**2)
        self._covariance = np.zeros(num_tasks)

        self._noise = np.full(num_tasks, NOISE_START)
        self._noise_weight = np.full(num_tasks, NOISE_WEIGHT)

        # What a task usually gets in a step, and the steps since the last observation.
        self._usual_groups = np.zeros(num_tasks)
        self._usual_share = np.zeros(num_tasks)
        self._num_steps = np.zeros(num_tasks)  # fading
        self._since = np.zeros(num_tasks)

    @property
    def level_error(self) -> Floats:
        """Standard error of the levels."""
        return np.sqrt(self._var_level)

    @property
    def rate_error(self) -> Floats:
        """Standard error of the rates."""
        return np.sqrt(self._var_rate)

    @property
    def group_variance(self) -> Floats:
        """Variance of one group's mean accuracy."""
        return self._noise

    def observe(self, means: Floats, num_groups: Floats) -> None:
        """Take in fresh groups. Called once a step, also when there are none.

        Args:
            means: Their mean accuracy; NaN where there are none.
            num_groups: How many they are.
        """
        seen = ~np.isnan(means)
        innovation = np.where(seen, means - self.level, 0.0)
        num_seen = np.maximum(num_groups, 1.0)
        excess = within_unit(num_seen * (innovation**2 - self._var_level))

        gain_level, gain_rate = self._gains(num_groups)
        times = np.where(seen, np.minimum(self._since, 1.0 / gain_level), 0.0)
        self.level = self.level + times * gain_level * innovation
        self.rate = self.rate + times * gain_rate * innovation

        # As if the usual number of groups had been seen in this step, whether they were or not.
        self._var_rate = self._var_rate - gain_rate * self._covariance
        self._covariance = self._covariance - gain_level * self._covariance
        self._var_level = self._var_level - gain_level * self._var_level

        self._since = np.where(seen, 0.0, self._since)
        self._learn_noise(seen, excess)

    def _gains(self, num_groups: Floats) -> tuple[Floats, Floats]:
        self._since = self._since + 1.0
        self._num_steps = USUAL_DECAY * self._num_steps + 1.0
        self._usual_groups = _moved(self._usual_groups, num_groups, self._num_steps)

        noise = self._noise / np.maximum(self._usual_groups, LEAST_EVIDENCE)
        total = self._var_level + noise
        return self._var_level / total, self._covariance / total

    def _learn_noise(self, seen: Floats, excess: Floats) -> None:
        weight = np.where(seen, NOISE_DECAY * self._noise_weight + 1.0, self._noise_weight)
        moved = np.where(seen, self._noise + (excess - self._noise) / weight, self._noise)

        # A group of many answers to one prompt still says little: its variance is never
        # less than a thirtieth of a coin's.
        level = within_unit(self.level)
        coin = np.maximum(level * (1 - level), 0.02)
        self._noise, self._noise_weight = np.maximum(moved, coin / 32), weight

    def advance(self, shares: Floats) -> None:
        """A step has been trained in which each task had that share of the batch."""
        self.level = self.level + self.rate * shares

        # The errors grow with the usual share: a task is trained on when it looks bad, and what is
        # only its return to normal would pass for the fruit of training.
        self._usual_share = _moved(self._usual_share, shares, self._num_steps)
        usual = self._usual_share
        of_rate = 2 * usual * self._covariance + usual**2 * self._var_rate
        self._covariance = self._covariance + usual * self._var_rate

        # Never more than before anything was known.
        self._var_level = np.minimum(self._var_level + of_rate + DRIFT**2, 0.25)
        self._var_rate = np.minimum(self._var_rate + RATE_DRIFT**2, RATE_PRIOR**2)

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; new ones are at the mean level of the others, and unknown."""
        fresh = TaskProgress(1)
        new = {name: float(getattr(fresh, name)[0]) for name in _STATE}
        new["level"] = change.mean_of_kept(self.level, new["level"])
        change.carry(self, _STATE, new)

    def state_dict(self) -> State:
        """JSON-able state."""
        return {name: getattr(self, name).tolist() for name in _STATE}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        for name in _STATE:
            setattr(self, name, np.array(state[name], dtype=np.float64))


_STATE = (
    *("level", "rate", "_var_level", "_var_rate", "_covariance"),
    *("_noise", "_noise_weight", "_usual_groups", "_usual_share", "_num_steps", "_since"),
)


def _moved(mean: Floats, value: Floats, weight: Floats) -> Floats:
    """A running mean after one more value, with the sum of all weights so far."""
    return mean + (value - mean) / weight

"""Weights without tuning: the entropic answer to "which task is worst"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import CountArrays, TaskWeighting
from mtgrpo.core.weightings.learnability import Flags, Learnability
from mtgrpo.core.weightings.progress import TaskProgress
from mtgrpo.core.weightings.reward_estimate import mean_of_known
from mtgrpo.core.weightings.simplex import cap_weights, softmax
from mtgrpo.errors import ConfigError, unknown

MIN_SHARE = 0.02
"""Part of the weight that is always spread evenly."""
DUAL_RATE = 0.5
"""What a step adds to mu, per unit of the gap beyond the accepted one."""
PERSISTENCE_RATE = 0.02
"""What a step adds to mu per unit of the gap where none is accepted."""


class Balanced(TaskWeighting):
    """The lowest accuracies share the batch, in closed form: ``z = softmax(-mu J / tau)``, capped.

    This is the maximiser over the simplex of ``-sum_k z_k J_k - (tau / mu) KL(z ||
    uniform)``: the paper's inner minimisation with an entropy in place of the distance
    to uniform weights. The map from levels to weights has no step size; memory
    is only in mu, the levels and the verdicts. J_k is `TaskProgress.level`.

    No weight is above ``1 / (worst_fraction K)``, which makes it the dual of the mean
    over the worst fraction of the tasks (CVaR) where there are many; tasks that cannot
    use more training get less, see `Learnability`.

    The multiplier mu is the dual variable of a constraint on the gap between the best
    and the worst accuracy. Without a stated `gap` it starts at 1 and rises, to
    `max_pressure`, for as long as there is a gap: at first all tasks are trained, which
    helps those that are like them, and what lags behind for long gets more and more.
    With a stated one it falls to 0, uniform weights, when the gap is smaller than that,
    and rises to 1 when it is not.

    The defaults press for the worst task. Milder ones (``temperature=0.5,
    max_pressure=1, worst_fraction=0.5``, those of the preset ``grpo_fair``) give up
    some of it for the mean: at equal rollouts a weight that presses hard on one task takes
    more from the others than it gives, most where that task hardly gains.

    Args:
        gap: Accepted difference between the accuracies of any two tasks, in (0, 1);
            None: as small as can be.
        worst_fraction: Share of the tasks that may get all the weight, in (0, 1]; of
            ten tasks or fewer, one may.
        temperature: tau, in accuracy, above 0: at the start two tasks that differ by it
            differ e-fold in weight.
        max_pressure: How far mu may rise without a stated gap, at least 1; 1 keeps it there.
        learnability: Whether tasks that cannot use more training are capped.
        floors: Accuracy of a guess per task; tasks left out have 0. Tasks are compared by
            ``(J - floor) / (ceiling - floor)``.
        ceilings: Accuracy a task can reach at most; tasks left out have 1.

    Source: own; exponentiated weights as in group DRO (arXiv 1911.08731), the cap as in
    CVaR's dual (Rockafellar and Uryasev 2000), dual ascent on a constraint as usual.
    """

    per_task = ("_was_seen",)

    def __init__(
        self,
        gap: float | None = None,
        worst_fraction: float = 0.1,
        temperature: float = 0.2,
        max_pressure: float = 4.0,
        learnability: bool = True,
        floors: Mapping[str, float] | None = None,
        ceilings: Mapping[str, float] | None = None,
    ) -> None:
        if gap is not None and not 0 < gap < 1:
            raise ConfigError(f"Balanced: gap={gap}; it must be in (0, 1), or left out")
        if not 0 < worst_fraction <= 1:
            raise ConfigError(
                f"Balanced: worst_fraction={worst_fraction}; it must be above 0 and at most 1"
            )
        if not 0 < temperature < np.inf:
            raise ConfigError(
                f"Balanced: temperature={temperature}; it must be above 0 and finite, e.g. 0.2"
            )
        if not 1 <= max_pressure < np.inf:
            raise ConfigError(
                f"Balanced: max_pressure={max_pressure}; it must be at least 1 and finite"
            )
        self.gap, self.floors, self.ceilings = gap, dict(floors or {}), dict(ceilings or {})
        self.worst_fraction, self.learnability = worst_fraction, learnability
        self.temperature, self.max_pressure = temperature, max_pressure

    def _start(self, num_tasks: int) -> None:
        for what, given in (("floors", self.floors), ("ceilings", self.ceilings)):
            for name in given:
                if name not in self._index:
                    raise ConfigError(unknown(f"Balanced: {what}", "task", name, self._index))

        self._set_span(self._tasks)
        self._progress = TaskProgress(num_tasks)
        self._learnability = Learnability(num_tasks)
        self._was_seen: Flags = np.zeros(num_tasks, dtype=bool)
        self._multiplier = 1.0
        self._z = np.full(num_tasks, 1.0 / num_tasks)

    def _set_span(self, tasks: tuple[str, ...]) -> None:
        floor = np.array([self.floors.get(name, 0.0) for name in tasks])
        ceiling = np.array([self.ceilings.get(name, 1.0) for name in tasks])
        if not ((floor >= 0).all() and (floor < ceiling).all() and (ceiling <= 1).all()):
            raise ConfigError(
                f"Balanced: floors {self.floors}, ceilings {self.ceilings}; "
                "0 <= floor < ceiling <= 1 for each task"
            )

        self._floor, self._span = floor, ceiling - floor

    def _change_tasks(self, change: TaskChange) -> None:
        self._set_span(change.after)
        self._progress.change_tasks(change)
        self._learnability.change_tasks(change)
        self._carry(change, {"_was_seen": 0.0})

        if self._was_seen.any():
            self._z = self._shared(self._comparable_level(), self._limited())
        else:
            self._z = np.full(len(change.after), 1.0 / len(change.after))

    def _count(self, counts: CountArrays) -> None:
        self._counts = counts

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        if not rewards:
            return

        self._observe(mean_of_known(rewards))

        level = self._comparable_level()
        limited = self._limited()
        self._move_multiplier(level[~limited])  # no weights can close the others' gaps
        self._z = self._shared(level, limited)

    def _observe(self, means: Floats) -> None:
        progress, counts = self._progress, self._counts
        progress.observe(means, counts.observed)

        shares = counts.trained / max(1.0, float(counts.trained.sum()))
        if self.learnability:
            self._learnability.observe(counts, shares, means, progress.group_variance)

        progress.advance(shares)
        self._was_seen |= ~np.isnan(means)

    def _limited(self) -> Flags:
        limited = self._learnability.stalled | self._learnability.out_of_reach
        if limited.all():  # then there is nothing to choose between
            return np.zeros_like(limited)
        return limited

    def _comparable_level(self) -> Floats:
        # Between floor and ceiling. What has never been seen is taken for average.
        level = (self._progress.level - self._floor) / self._span
        if not self._was_seen.any():
            return level
        return np.where(self._was_seen, level, level[self._was_seen].mean())

    def _move_multiplier(self, level: Floats) -> None:
        gap = float(np.ptp(level))
        if self.gap is None:
            risen = self._multiplier + PERSISTENCE_RATE * gap
            self._multiplier = min(risen, self.max_pressure)
        else:
            moved = self._multiplier + DUAL_RATE * (gap - self.gap)
            self._multiplier = min(max(moved, 0.0), 1.0)

    def _shared(self, level: Floats, limited: Flags) -> Floats:
        z = np.minimum(self._focus(level), self._learnability.caps())

        # The others share what is left by their own levels, as if the limited were not
        # there.
        z[~limited] = (1 - z[limited].sum()) * self._focus(level[~limited])

        largest = 1 / max(1.0, self.worst_fraction * len(z))
        return cap_weights(z, np.full(len(z), largest))

    def _focus(self, level: Floats) -> Floats:
        focused = softmax(-self._multiplier * level / self.temperature)
        return (1 - MIN_SHARE) * focused + MIN_SHARE / len(level)

    def _weights(self) -> Floats:
        return self._z

    def metrics(self) -> dict[str, float]:
        """The multiplier, and per task level, rate, their errors, and what limits it."""
        progress, learnability = self._progress, self._learnability
        columns = {
            "level": progress.level,
            "level_error": progress.level_error,
            "rate": progress.rate,
            "rate_error": progress.rate_error,
            "is_stalled": learnability.stalled,
            "is_out_of_reach": learnability.out_of_reach,
        }

        metrics = {"tasks/multiplier": self._multiplier}
        for key, values in columns.items():
            for name, value in zip(self._tasks, values.tolist(), strict=True):
                metrics[f"task/{name}/{key}"] = float(value)
        return metrics

    def notices(self) -> dict[str, str]:
        """Which tasks are limited, and why."""
        if not self.learnability:
            return {}

        notices: dict[str, str] = {}
        for k, name in enumerate(self._tasks):
            if self._learnability.out_of_reach[k]:
                notices[name] = (
                    "out of reach: in hardly any group of it do the answers differ in what counts, "
                    "so there is nothing to learn from; it gets a few probes until they do"
                )
            elif self._learnability.stalled[k]:
                notices[name] = (
                    "stalled: its training has brought no gain for long; "
                    "it gets half a uniform share at most"
                )
        return notices

    def _state(self) -> State:
        return {
            "progress": self._progress.state_dict(),
            "learnability": self._learnability.state_dict(),
            "was_seen": self._was_seen.tolist(),
            "multiplier": self._multiplier,
            "weights": self._z.tolist(),
        }

    def _load(self, state: State) -> None:
        self._progress.load_state_dict(state["progress"])
        self._learnability.load_state_dict(state["learnability"])
        self._was_seen = np.array(state["was_seen"], dtype=bool)
        self._multiplier = float(state["multiplier"])
        self._z = np.array(state["weights"], dtype=np.float64)

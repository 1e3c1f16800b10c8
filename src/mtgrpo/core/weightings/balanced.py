"""Weights without tuning: the entropic answer to "which task is worst", from estimates that know their error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtgrpo.core.quotas import Floats
from mtgrpo.core.types import State
from mtgrpo.core.weightings.base import TaskWeighting, softmax
from mtgrpo.core.weightings.learnability import Learnability, capped
from mtgrpo.core.weightings.progress import TaskProgress
from mtgrpo.errors import ConfigError, unknown

TEMPERATURE = 0.2
MIN_SHARE = 0.02
DUAL_RATE = 0.5
PERSISTENCE_RATE, PERSISTENCE_LIMIT = 0.02, 4.0


class Balanced(TaskWeighting):
    """The lowest accuracies share the batch, in closed form: ``z = softmax(-mu J / tau)``, capped.

    This is the maximiser over the simplex of ``-sum_k z_k J_k - (tau / mu) KL(z || uniform)``: the paper's inner
    minimisation with an entropy in place of the distance to uniform weights. It has no step size and no memory of its
    own, so a weight leaves with the gap that caused it. J_k is `TaskProgress.level`.

    No weight is above ``1 / (worst_fraction K)``, which makes it the dual of the mean over the worst fraction of the
    tasks (CVaR) where there are many; tasks that cannot use more training get less, see `Learnability`.

    The multiplier mu is the dual variable of a constraint on the gap between the best and the worst accuracy. Without a
    stated `gap` it starts at 1 and rises, at most fourfold, for as long as there is a gap: at first all tasks are
    trained, which helps those that are like them, and what lags behind for long gets more and more. With a stated one
    it falls to 0, uniform weights, when the gap is smaller than that, and rises to 1 when it is not.

    Args:
        gap: Accepted difference between the accuracies of any two tasks, in (0, 1); None: as small as can be.
        worst_fraction: Share of the tasks that may get all the weight, in (0, 1]; of ten tasks or fewer, one may.
        learnability: Whether tasks that cannot use more training are capped.
        floors: Accuracy of a guess per task; tasks left out have 0. Tasks are compared by
            ``(J - floor) / (ceiling - floor)``.
        ceilings: Accuracy a task can reach at most; tasks left out have 1.

    Source: own; exponentiated weights as in group DRO (arXiv 1911.08731), the cap as in CVaR's dual (Rockafellar and
    Uryasev 2000), dual ascent on a constraint as usual.
    """

    def __init__(
        self,
        gap: float | None = None,
        worst_fraction: float = 0.1,
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
        self.gap, self.floors, self.ceilings = gap, dict(floors or {}), dict(ceilings or {})
        self.worst_fraction, self.learnability = worst_fraction, learnability

    def _start(self, num_tasks: int) -> None:
        for what, given in (("floors", self.floors), ("ceilings", self.ceilings)):
            for name in given:
                if name not in self._index:
                    raise ConfigError(unknown(f"Balanced: {what}", "task", name, self._index))
        self._floor = np.array([self.floors.get(name, 0.0) for name in self._tasks])
        self._span = np.array([self.ceilings.get(name, 1.0) for name in self._tasks]) - self._floor
        if not (
            (self._floor >= 0).all()
            and (self._span > 0).all()
            and (self._floor + self._span <= 1).all()
        ):
            raise ConfigError(
                f"Balanced: floors {self.floors}, ceilings {self.ceilings}; 0 <= floor < ceiling <= 1 for each task"
            )
        self._progress = TaskProgress(num_tasks)
        self._learnability = Learnability(num_tasks)
        self._seen = np.zeros(num_tasks, dtype=bool)
        self._multiplier = 1.0
        self._z = np.full(num_tasks, 1.0 / num_tasks)

    def _count(self, generated: Floats, informative: Floats, trained: Floats) -> None:
        self._generated, self._informative, self._trained = generated, informative, trained

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        if not rewards:
            return
        known = ~np.isnan(rewards)
        sums = np.nansum(rewards, axis=0)
        means = np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), np.nan)
        self._progress.observe(means, self._generated)
        shares = self._trained / max(1.0, float(self._trained.sum()))
        progress = self._progress
        if self.learnability:
            self._learnability.observe(
                self._generated, self._informative, shares, means, progress.group_variance
            )
        progress.advance(shares)
        self._seen |= ~np.isnan(means)
        level = (progress.level - self._floor) / self._span
        if self._seen.any():  # what nobody has seen is taken for average
            level = np.where(self._seen, level, level[self._seen].mean())
        limited = self._learnability.stalled | self._learnability.out_of_reach
        if limited.all():  # then there is nothing to choose between
            limited = np.zeros_like(limited)
        gap = float(np.ptp(level[~limited]))  # no weights can close the others
        if self.gap is None:
            self._multiplier = min(self._multiplier + PERSISTENCE_RATE * gap, PERSISTENCE_LIMIT)
        else:
            self._multiplier = min(max(self._multiplier + DUAL_RATE * (gap - self.gap), 0.0), 1.0)
        # Those that can be trained share what is left by their own levels, as if the others were not there.
        z = np.minimum(self._focus(level), self._learnability.caps())
        z[~limited] = (1 - z[limited].sum()) * self._focus(level[~limited])
        self._z = capped(z, np.full(len(z), 1 / max(1.0, self.worst_fraction * len(z))))

    def _focus(self, level: Floats) -> Floats:
        return (1 - MIN_SHARE) * softmax(-self._multiplier * level / TEMPERATURE) + MIN_SHARE / len(
            level
        )

    def _weights(self) -> Floats:
        return self._z

    def metrics(self) -> dict[str, float]:
        """Per task ``level``, ``level_error``, ``rate``, ``rate_error``, ``is_stalled``, ``is_out_of_reach``."""
        found = {"tasks/multiplier": self._multiplier}
        for key in ("is_stalled", "is_out_of_reach"):
            flags = getattr(self._learnability, key.removeprefix("is_")).tolist()
            found |= {
                f"task/{name}/{key}": float(v) for name, v in zip(self._tasks, flags, strict=True)
            }
        progress = self._progress
        for key in ("level", "level_error", "rate", "rate_error"):
            values: Floats = getattr(progress, key)
            found |= {
                f"task/{name}/{key}": float(v) for name, v in zip(self._tasks, values, strict=True)
            }
        return found

    def notices(self) -> dict[str, str]:
        """Which tasks are capped, and why."""
        if not self.learnability:
            return {}
        found: dict[str, str] = {}
        for k, name in enumerate(self._tasks):
            if self._learnability.out_of_reach[k]:
                found[name] = (
                    "out of reach: hardly any group of it has a right and a wrong answer, so there is nothing to learn "
                    "from; it gets a few probes until one has"
                )
            elif self._learnability.stalled[k]:
                found[name] = (
                    "stalled: its training has brought no gain for long; it gets half a uniform share at most"
                )
        return found

    def _state(self) -> State:
        return {
            "progress": self._progress.dump(),
            "learnability": self._learnability.dump(),
            "seen": self._seen.tolist(),
            "multiplier": self._multiplier,
            "weights": self._z.tolist(),
        }

    def _load(self, state: State) -> None:
        self._progress.load(state["progress"])
        self._learnability.load(state["learnability"])
        self._seen = np.array(state["seen"], dtype=bool)
        self._multiplier = float(state["multiplier"])
        self._z = np.array(state["weights"], dtype=np.float64)

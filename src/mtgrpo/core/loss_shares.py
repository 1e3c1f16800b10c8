"""Each task's share of the loss: factors on the advantages that make it the share of the quotas.

A task with its full quota may still get another share of the gradient. Under a
token-mean loss long completions count for more, and a task that is short of groups has
less of everything. The clipped surrogate is positive-homogeneous in the advantage,
``min(w cA, clip(w) cA) = c min(w A, clip(w) A)`` for c > 0, so one factor per task on
its advantages, ``target share / share as it is``, sets the shares exactly and leaves
the rest of the loss to the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mtgrpo.errors import ConfigError, unknown

# A group counts at most this many times its even part of the loss.
MAX_GROUP_SHARE = 4.0


@dataclass(frozen=True, slots=True)
class LossShares:
    """What to multiply, and what it does.

    Mappings are keyed by the tasks of the targets; shares sum to 1.

    Attributes:
        factors: For each task's advantages. Their mean, weighted by the shares before,
            is 1: the size of the step stays what it was.
        before: Shares of the loss as the groups and their lengths have it; all 0 when
            nothing carries a gradient.
        after: Shares of the loss with the factors.
        limited: Tasks whose share stays below its target, because they have too few
            groups to carry it.
    """

    factors: Mapping[str, float]
    before: Mapping[str, float]
    after: Mapping[str, float]
    limited: tuple[str, ...]

    def metrics(self, *, exact: bool) -> dict[str, float]:
        """The step's figures.

        Args:
            exact: Whether the factors are used, or the shares only measured.
        """
        now = self.after if exact else self.before
        metrics = {f"task/{name}/loss_share": share for name, share in now.items()}

        if exact:
            for name, share in self.before.items():
                metrics[f"task/{name}/loss_share_unscaled"] = share
            metrics["sampler/loss_shares_limited"] = len(self.limited)
        return metrics


def balance_loss(
    targets: Mapping[str, float],
    num_groups: Mapping[str, float],
    masses: Mapping[str, float],
    max_group_share: float = MAX_GROUP_SHARE,
) -> LossShares:
    """The factors that give each task its share of one batch's loss.

    Only groups that carry a gradient (not all advantages zero) are counted, so that
    filling and unfiltered groups do not pass for training. A task without such groups
    has no share; the others' targets are scaled up to sum to 1.

    Args:
        targets: Wanted shares, of any positive sum: the step's quotas, or the weights
            where a batch has none. With quotas, each step follows them and the mean
            over steps is the weight. The weight itself would be wrong for a task that
            gets less than one group a step: such a task is absent most of the time, and
            what it misses then has to be in its one group.
        num_groups: Groups per task that carry a gradient; missing tasks have none. Groups that
            stand for several, see `Probed`, count as so many.
        masses: Their sum of loss coefficients per task, in the units of the engine's
            loss and of any scale: tokens where each token counts the same, completions
            where each completion does.
        max_group_share: Limit of a task's share, in multiples of its share of the groups:
            with 4, a task with one group of 32 has at most 4/32, whatever its quota.
            What that leaves goes to the others by their targets.

    Raises:
        ConfigError: A negative or non-finite number, a mass for an unknown task, or a
            limit below 1.
    """
    _check(targets, num_groups, masses, max_group_share)

    counts = {task: num_groups.get(task, 0) if masses.get(task, 0) > 0 else 0 for task in targets}
    present = {task: count for task, count in counts.items() if count}
    total = math.fsum(masses[task] for task in present)
    before = {task: masses[task] / total if count else 0.0 for task, count in counts.items()}

    if not any(targets[task] > 0 for task in present):  # nothing to go by
        return LossShares(dict.fromkeys(targets, 1.0), before, before, ())

    shares, limited = _fill(targets, present, max_group_share)
    after = {task: shares.get(task, 0.0) for task in targets}
    factors = {task: after[task] / before[task] if before[task] else 1.0 for task in targets}
    return LossShares(factors, before, after, limited)


def _check(
    targets: Mapping[str, float],
    num_groups: Mapping[str, float],
    masses: Mapping[str, float],
    max_group_share: float,
) -> None:
    if not max_group_share >= 1:
        raise ConfigError(f"balance_loss: max_group_share={max_group_share}; it must be at least 1")

    for what, values in (("targets", targets), ("num_groups", num_groups), ("masses", masses)):
        for task, value in values.items():
            if task not in targets:
                raise ConfigError(unknown(f"balance_loss: {what}", "task", task, targets))
            if not 0 <= value < math.inf:
                raise ConfigError(
                    f"balance_loss: {what} of task {task!r} is {value}; "
                    "it must be at least 0 and finite"
                )


def _fill(
    targets: Mapping[str, float], counts: Mapping[str, float], max_group_share: float
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Shares in proportion to the targets, none above its limit; and the tasks at their limit."""
    num_groups = sum(counts.values())
    limits = {task: max_group_share * count / num_groups for task, count in counts.items()}

    # Water finds its level: what is above a limit goes to those that are free, in turn.
    shares, left = dict.fromkeys(counts, 0.0), 1.0
    free = [task for task in counts if targets[task] > 0]
    while free:
        total = math.fsum(targets[task] for task in free)
        tried = {task: left * targets[task] / total for task in free}
        full = {task for task in free if tried[task] > limits[task] * (1 + 1e-9)}

        if not full:
            shares.update(tried)
            return shares, tuple(task for task in counts if targets[task] > 0 and task not in tried)

        for task in full:
            shares[task] = limits[task]
        free = [task for task in free if task not in full]
        left = 1.0 - math.fsum(shares.values())

    # Every wanted task is at its limit: the rest stays with the groups that only fill
    # up the batch.
    others = {task: count for task, count in counts.items() if not targets[task] > 0}
    for task, count in others.items():
        shares[task] = left * count / sum(others.values())
    return shares, tuple(task for task in counts if targets[task] > 0)

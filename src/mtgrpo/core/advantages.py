"""GRPO's group-relative advantage, for the strategies that are driven by it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mtgrpo.core.types import Group

# TRL's constant; it keeps a near-constant group's advantages finite.
STD_EPSILON = 1e-4


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """``(reward - mean) / (std + 1e-4)`` within one group, with the sample standard deviation.

    NaN rewards (unscorable completions) get advantage 0 and do not count towards mean
    and std; a group with fewer than two scorable completions gets zeros. Source: GRPO;
    the constant is TRL's.
    """
    known = [r for r in rewards if not math.isnan(r)]
    if len(known) < 2:
        return [0.0] * len(rewards)

    mean = math.fsum(known) / len(known)
    std = math.sqrt(math.fsum((r - mean) ** 2 for r in known) / (len(known) - 1))
    return [0.0 if math.isnan(r) else (r - mean) / (std + STD_EPSILON) for r in rewards]


def mean_abs_advantage(rewards: Sequence[float]) -> float:
    """Mean absolute advantage of one group's scorable completions.

    Source: SEC's signal of what can be learned from a task (arXiv 2505.14970).
    """
    num_scored = sum(not math.isnan(r) for r in rewards)
    return math.fsum(abs(a) for a in group_advantages(rewards)) / max(1, num_scored)


def mean_abs_advantages(groups: Iterable[Group]) -> dict[str, float]:
    """The mean over the groups of each task."""
    by_task: dict[str, list[float]] = {}
    for group in groups:
        by_task.setdefault(group.task, []).append(mean_abs_advantage(group.rewards))
    return {task: sum(values) / len(values) for task, values in by_task.items()}

"""By what rules a batch is filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgrpo.core.acceptance import AcceptanceEstimate
from mtgrpo.core.filters import GroupFilter, informative_filter
from mtgrpo.core.planners import RoundPlanner
from mtgrpo.core.types import Group, Ints, Verdict

SHORTFALL_POLICIES = ("surplus", "smaller", "fail")


@dataclass(frozen=True, slots=True)
class FillRules:
    """What all batches of a sampler have in common; see `RatioPreservingSampler` for the values.

    Attributes:
        tasks: Task names, in order.
        batch_size: B, groups of a full batch.
        planner: Sizes the rounds.
        acceptance: Estimate that the planner goes by; it learns from each round.
        group_filter: Which groups are accepted.
        max_resamples: Rounds beyond the first.
        max_prompts_per_group: Most prompts per group of a task's quota; None sets no
            limit.
        shortfall: One of `SHORTFALL_POLICIES`.
    """

    tasks: tuple[str, ...]
    batch_size: int
    planner: RoundPlanner
    acceptance: AcceptanceEstimate
    group_filter: GroupFilter
    max_resamples: int
    max_prompts_per_group: float | None
    shortfall: str

    def judge(self, group: Group) -> tuple[Verdict, bool]:
        """What the filter says of a group, and whether the group is informative.

        It is if it passes the filter; without one, if it would pass the default. A probe that was
        not completed is never kept.
        """
        verdict = self.group_filter(group)
        if not group.weight and verdict.keep:
            verdict = Verdict(False, "constant_reward")  # others would have been completed
        informs = informative_filter(self.group_filter)
        if informs is self.group_filter:
            return verdict, verdict.keep
        return verdict, informs(group).keep

    def affordable(self, quotas: Ints | None, asked: Ints) -> Ints:
        """Prompts that each task may still be asked for in a step, shape (K,).

        Args:
            quotas: Groups wanted per task; None when the batch is filled from any task.
            asked: Prompts asked for so far, shape (K,).
        """
        if self.max_prompts_per_group is None or quotas is None:
            return np.full_like(asked, np.iinfo(np.int64).max)

        most = np.ceil(quotas * self.max_prompts_per_group).astype(np.int64)
        return np.maximum(most - asked, 0)

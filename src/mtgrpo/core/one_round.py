"""One round a step at a fixed budget; the tasks' shares are made in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from mtgrpo.core.acceptance import AcceptanceEstimate
from mtgrpo.core.allocation import least_variance
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.batch import Batch
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.one_round_batch import GivenRound, OneRoundBatch
from mtgrpo.core.share_debt import ShareDebt
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.errors import ConfigError


class OneRoundSampler(Sampler):
    """Generates B groups in one round, and trains on every informative one of them.

    The step's shares are made in the loss: engines scale each task's advantages until its part
    of the loss is `Batch.loss_targets`, its weight z_k. A task without an informative group is
    owed its share, see `ShareDebt`.

    With n_k groups of a task, of which a_k are informative, the variance of the gradient is
    ``sum_k z_k^2 / (n_k a_k)``. At a given budget it is least for

        ``n_k ~ z_k / sqrt(a_k)``.

    Equal informative quotas, ``n_k ~ z_k / a_k``, cost 1.13 times the groups for the same variance
    at a = (.12, .35, .67), and 1.69 times at (.02, .35, .95). Counts are rounded systematically:
    they sum to B in each step, and their means over steps are exact.

    Args:
        group_filter: As in `RatioPreservingSampler`.
        acceptance: Estimate of acceptance rates; default `CountedAcceptance()`.
        max_inflation: Cap of ``1 / a_k``: a task that gives nothing is not asked for ever more.
        max_owed: Most that a task can be owed, in steps' losses.

    Source: own; the counts are Neyman's (1934) with costs.
    """

    needs_loss_shares: ClassVar[bool] = True

    def __init__(
        self,
        *,
        group_filter: str | GroupFilter = "informative",
        acceptance: AcceptanceEstimate | None = None,
        max_inflation: float = 12.0,
        max_owed: float = 1.0,
    ) -> None:
        if not 1 <= max_inflation < np.inf:
            raise ConfigError(
                f"OneRoundSampler: max_inflation={max_inflation}; it must be at least 1 and finite"
            )
        if not 0 <= max_owed < np.inf:
            raise ConfigError(
                f"OneRoundSampler: max_owed={max_owed}; it must be at least 0 and finite"
            )

        super().__init__(group_filter, acceptance)
        self.max_inflation, self.max_owed = max_inflation, max_owed
        self._debt = ShareDebt(0, max_owed)

    def _make_rules(self, tasks: tuple[str, ...], batch_size: int) -> FillRules:
        self._debt = ShareDebt(len(tasks), self.max_owed)

        return FillRules(
            tasks=tasks,
            batch_size=batch_size,
            planner=GivenRound(np.zeros(len(tasks), dtype=np.int64)),
            acceptance=self.acceptance,
            group_filter=self.group_filter,
            max_resamples=0,
            max_prompts_per_group=None,
            shortfall="smaller",
        )

    def change_tasks(self, change: TaskChange, families: Mapping[str, str] | None = None) -> None:
        super().change_tasks(change, families)
        self._debt.change_tasks(change)

    def new_batch(self, weights: Floats, step: int, rng: np.random.Generator) -> Batch:
        rates = np.maximum(self.acceptance.rates(), 1 / self.max_inflation)
        counts = self._systematic(least_variance(weights, rates), rng)
        return OneRoundBatch(self._bound(), weights, counts, self._debt.owed, rng)

    def restore_batch(self, state: State, rng: np.random.Generator) -> Batch:
        weights = np.array(state["weights"], dtype=np.float64)
        counts = np.array(state["planned"], dtype=np.int64)
        batch = OneRoundBatch(self._bound(), weights, counts, self._debt.owed, rng)
        batch.load_state_dict(state)
        return batch

    def close(self, batch: Batch, step: int) -> None:
        super().close(batch, step)
        shares = batch.loss_shares or {}
        had = np.array([shares.get(task, 0.0) for task in self.tasks])
        self._debt.settle(batch.weight_array, had)

    def owed(self) -> dict[str, float]:
        return dict(zip(self.tasks, self._debt.owed.tolist(), strict=True))

    def state_dict(self) -> State:
        """As every sampler's, and what tasks are owed."""
        return {**super().state_dict(), "debt": self._debt.state_dict()}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._debt.load_state_dict(state["debt"])

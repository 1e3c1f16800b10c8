"""One round a step at a fixed budget; the tasks' shares are made in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mtgrpo.core.acceptance import AcceptanceEstimate
from mtgrpo.core.allocation import least_variance, within_budget
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.batch import Batch
from mtgrpo.core.budget import Budget
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.filters import GroupFilter, keep_all
from mtgrpo.core.group_costs import PRIOR, GroupCosts
from mtgrpo.core.one_round_batch import GivenRound, OneRoundBatch
from mtgrpo.core.probes import ProbeRule
from mtgrpo.core.share_debt import ShareDebt
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, Ints, State
from mtgrpo.errors import ConfigError, StateError, unknown

SHARES = ("over_steps", "each_step")
LEAST_RATE = 1e-3
"""No acceptance is taken for less, when it is said what an informative group counts."""


class OneRoundSampler(Sampler):
    """Generates a budget of groups in one round, and trains on every informative one of them.

    Shares are made in the loss: engines scale each task's advantages until its part of the loss is
    `Batch.loss_targets`. These follow the weights over steps: a group of task k counts
    ``z_k / (n_k a_k)``, whether the step has more informative groups of the task than the n_k a_k
    of the average or fewer, and what the shares come to lack to the weights is owed and paid
    little by little, see `ShareDebt`. Shares that are the weights in each step have more variance,
    as groups that happen to be few count for more (docs/concepts.md has figures).

    With n_k groups of a task, of which a_k are informative, whose gradients deviate by s_k, the
    variance of the gradient is ``sum_k z_k^2 s_k^2 / (n_k a_k)``. Where a group costs c_k, it is
    least at a given ``sum_k n_k c_k`` for

        ``n_k ~ z_k s_k / sqrt(a_k c_k)``.

    Equal informative quotas, ``n_k ~ z_k / a_k``, cost 1.13 times the groups for the same variance
    at a = (.12, .35, .67), and 1.69 times at (.02, .35, .95). Counts are rounded systematically:
    their means over steps are exact, and they sum to the budget where that is in groups.

    Args:
        group_filter: As in `RatioPreservingSampler`.
        acceptance: Estimate of acceptance rates; default `CountedAcceptance()`.
        max_inflation: Cap of ``1 / a_k``: a task that gives nothing is not asked for ever more.
        max_owed: Most that a task can be owed, in steps' losses.
        shares: When the shares are the weights: ``"over_steps"``, in the mean, or ``"each_step"``,
            always, where the task has informative groups.
        budget: What a step may cost on average: ``{"groups": 24}``, ``{"completions": 192}``,
            ``{"tokens": 4096}`` or ``{"seconds": 30}``, and never more than B groups; None: B
            groups. In completions c_k is the task's group size, as its groups had it; tokens and
            seconds are what the engine tells of each group, see `Cost`, and c_k is their mean. The
            first step, before any is known, generates B groups.
        spreads: s_k, where they are known; 1 for tasks that are not named.
        probes: For large groups: generate the first completions of each prompt, and the others
            where it is worth it, see `mtgrpo.core.probes`. ``"auto"``: the parts that save most
            for each task; ``{"size": 8, "chance": 0.25}``: these; None: whole groups. The engine
            must generate in parts, and there must be a filter.

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
        shares: str = "over_steps",
        budget: Mapping[str, float] | None = None,
        spreads: Mapping[str, float] | None = None,
        probes: str | Mapping[str, Any] | None = None,
    ) -> None:
        if not 1 <= max_inflation < np.inf:
            raise ConfigError(
                f"OneRoundSampler: max_inflation={max_inflation}; it must be at least 1 and finite"
            )
        if not 0 <= max_owed < np.inf:
            raise ConfigError(
                f"OneRoundSampler: max_owed={max_owed}; it must be at least 0 and finite"
            )

        if shares not in SHARES:
            raise ConfigError(unknown("OneRoundSampler", "shares", shares, SHARES))

        for task, spread in (spreads or {}).items():
            if not 0 < spread < np.inf:
                raise ConfigError(
                    f"OneRoundSampler: spreads: {spread} for {task!r}; "
                    "it must be above 0 and finite"
                )

        super().__init__(group_filter, acceptance)
        if probes is not None and self.group_filter is keep_all:
            raise ConfigError(
                f"OneRoundSampler: probes={probes!r} with group_filter='none'; probes save what a "
                "filter would drop; choose a filter, as 'informative', or leave probes out"
            )

        self.max_inflation, self.max_owed, self.shares = max_inflation, max_owed, shares
        self.budget, self.spreads, self.probes = budget, spreads, probes

        self._budget = Budget(budget)
        self._debt, self._costs = ShareDebt(0, max_owed), GroupCosts(0)
        self._probe_rule = None if probes is None else ProbeRule(probes, 0)

    def _make_rules(self, tasks: tuple[str, ...], batch_size: int) -> FillRules:
        for task in self.spreads or {}:
            if task not in tasks:
                raise ConfigError(unknown("OneRoundSampler: spreads", "task", task, tasks))

        self._debt = ShareDebt(len(tasks), self.max_owed)
        has_sizes = self._budget.unit == "completions" and self.probes is None
        self._costs = GroupCosts(len(tasks), prior=0.0 if has_sizes else PRIOR)
        if self.probes is not None:
            self._probe_rule = ProbeRule(self.probes, len(tasks))

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
        self._costs.change_tasks(change)
        if self._probe_rule is not None:
            self._probe_rule.change_tasks(change)

    def new_batch(self, weights: Floats, step: int, rng: np.random.Generator) -> Batch:
        spreads = self.spreads or {}
        spread = np.array([spreads.get(task, 1.0) for task in self.tasks])
        estimates = self.acceptance.rates()
        rates = np.maximum(estimates, 1 / self.max_inflation)

        # Without costs all groups count the same, and B or the budget limits their number.
        costs = self._costs.means()
        if costs is None:
            total = self.batch_size
            if not self._budget.is_measured:
                total = min(self._budget.amount, total)
            wanted = least_variance(weights * spread, rates)
        else:
            wanted = within_budget(
                weights * spread, rates, costs, self._budget.amount, self.batch_size
            )
            total = min(float(wanted.sum()), self.batch_size)

        total = max(1.0, total)
        counts = self._systematic(wanted, total, rng)

        # The limit on asking is none on what a group counts: that takes the rates as they are.
        expected = None
        if self.shares == "over_steps":
            expected = wanted * (total / wanted.sum()) * np.maximum(estimates, LEAST_RATE)

        return self._make_batch(weights, counts, costs, expected, rng)

    def _make_batch(
        self,
        weights: Floats,
        counts: Ints,
        costs: Floats | None,
        expected: Floats | None,
        rng: np.random.Generator,
    ) -> OneRoundBatch:
        return OneRoundBatch(
            self._bound(),
            weights,
            counts,
            self._debt.owed,
            self._budget,
            costs,
            expected,
            rng,
            self._probe_rule,
        )

    def restore_batch(self, state: State, rng: np.random.Generator) -> Batch:
        weights = np.array(state["weights"], dtype=np.float64)
        counts = np.array(state["planned"], dtype=np.int64)
        expected = None
        if state.get("expected") is not None:
            expected = np.array(state["expected"], dtype=np.float64)

        batch = self._make_batch(weights, counts, self._costs.means(), expected, rng)
        batch.load_state_dict(state)
        return batch

    def close(self, batch: Batch, step: int) -> None:
        super().close(batch, step)
        shares = batch.loss_shares or {}
        had = np.array([shares.get(task, 0.0) for task in self.tasks])
        self._debt.settle(batch.weight_array, had)

        if self._budget.is_measured and isinstance(batch, OneRoundBatch):
            self._costs.observe(*batch.told_costs)
        if self._probe_rule is not None:
            self._probe_rule.observe(*self._accuracies(batch))

    def _accuracies(self, batch: Batch) -> tuple[Floats, Floats]:
        # Sums of the groups' accuracies, and over how many; (K,) each.
        total = batch.counts.totals()
        sums, counts = np.zeros(len(self.tasks)), np.zeros(len(self.tasks))
        for k, task in enumerate(self.tasks):
            if task in total.accuracy_sum and not total.num_graded.get(task):
                sums[k], counts[k] = total.accuracy_sum[task], total.num_scored[task]
        return sums, counts

    def owed(self) -> dict[str, float]:
        return dict(zip(self.tasks, self._debt.owed.tolist(), strict=True))

    @property
    def debts_within_limit(self) -> bool | None:
        return None if self.shares == "each_step" else not self._debt.forgiven

    def state_dict(self) -> State:
        """As every sampler's, what tasks are owed, what groups cost, and what probes go by."""
        state = {
            **super().state_dict(),
            "debt": {"shares": self.shares, **self._debt.state_dict()},
            "costs": {"unit": self._budget.unit, **self._costs.state_dict()},
        }
        if self._probe_rule is not None:
            state["probes"] = self._probe_rule.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: As every sampler, with probes where there were none or without where there
                were, costs in another unit, or shares kept in another way.
        """
        self._check_probes(state)
        self._check_shares(state)
        super().load_state_dict(state)
        self._debt.load_state_dict(state["debt"])

        unit = state["costs"]["unit"]
        if unit != self._budget.unit:
            raise StateError(
                f"sampler: saved with a budget in {unit}, now in {self._budget.unit}; "
                "resume with a budget in the same unit"
            )
        self._costs.load_state_dict(state["costs"])

        if self._probe_rule is not None:
            self._probe_rule.load_state_dict(state["probes"])

    def _check_shares(self, state: State) -> None:
        if "debt" not in state:
            return  # it is of another kind of sampler

        saved = state["debt"].get("shares", "each_step")  # all there was before it was noted
        if saved != self.shares:
            raise StateError(
                f"sampler: saved with shares={saved!r}, now {self.shares!r}; a run keeps to one of "
                f"the two; resume with sampler: {{shares: {saved}}}"
            )

    def _check_probes(self, state: State) -> None:
        own = self.state_dict().keys()
        if state.keys() ^ own != {"probes"}:
            return  # they agree, or it is of another kind of sampler

        saved, now = ("with", "without") if "probes" in state else ("without", "with")
        raise StateError(
            f"sampler: saved {saved} probes, now {now}; a run keeps to one of the two; resume "
            f"{saved} probes, as the run was started"
        )


def refuse_probes(sampler: Sampler, where: str) -> None:
    """For engines that generate whole groups.

    Args:
        sampler: A method's.
        where: What the message begins with.

    Raises:
        ConfigError: The sampler has probes.
    """
    if isinstance(sampler, OneRoundSampler) and sampler.probes is not None:
        raise ConfigError(
            f"{where}: the sampler's probes={sampler.probes!r} need groups that are generated in "
            "parts, for which there is no place here; leave probes out"
        )

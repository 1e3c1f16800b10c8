"""The ratio-preserving sampler (paper, Algorithm 2) and its task-blind relatives."""

from __future__ import annotations

import numpy as np

from mtgrpo.core import quota_rules
from mtgrpo.core.acceptance import AcceptanceEstimate
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.batch import Batch
from mtgrpo.core.fill_rules import SHORTFALL_POLICIES, FillRules
from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.planners import NeededRounds, RoundPlanner
from mtgrpo.core.types import Floats, Ints, State
from mtgrpo.errors import ConfigError, unknown

QUOTA_RULES = ("systematic", "multinomial", "released")


class RatioPreservingSampler(Sampler):
    """Fills each batch with the shares that the weights ask for, zero-gradient groups not counted.

    A step's quotas come from the weights; rounds of prompts are asked for until every
    quota is met by accepted groups or the budget of rounds is spent. With
    ``keep_shares=False`` the batch is filled from any task instead (DAPO); with
    ``group_filter="none"`` the first round is the batch (GRPO).

    Args:
        quota_rule: ``"systematic"`` (sum-exact, unbiased, least variance; the default),
            ``"multinomial"`` (paper) or ``"released"``. Where the released rule rounds
            all quotas to 0, as it may with more tasks than groups, the step has none and
            is filled from any task, which is what the released code comes to.
        planner: Sizes the rounds; default `NeededRounds()`.
        group_filter: Name in `mtgrpo.core.filters.FILTERS`, or a function ``Group ->
            Verdict``.
        acceptance: Estimate of acceptance rates; default `CountedAcceptance()`.
        max_resamples: Rounds beyond the first that a step may use (N_rs).
        shortfall: When quotas stay unmet: ``"surplus"`` fills up with other tasks'
            accepted groups (paper), ``"smaller"`` trains on fewer groups, ``"fail"``
            raises `ShortfallError`. Always counted.
        keep_shares: Whether quotas bind the accepted groups.
        shares_from_step: First step (from 0) in which they do.
        max_staleness: Steps for which surplus groups are banked, to serve later
            batches; 0 throws them away. The engine must then train on groups of an
            earlier policy with the right importance ratio.
        max_prompts_per_group: Prompts that a step may spend on a task, per group of its
            quota; None sets no limit. Past it the quota stays unmet: a task that gives
            no gradient does not use up the step.

    Source: paper, section 4.2, Algorithm 2. M_os and M_acc live in the planner.
    """

    def __init__(
        self,
        *,
        quota_rule: str = "systematic",
        planner: RoundPlanner | None = None,
        group_filter: str | GroupFilter = "informative",
        acceptance: AcceptanceEstimate | None = None,
        max_resamples: int = 10,
        shortfall: str = "surplus",
        keep_shares: bool = True,
        shares_from_step: int = 0,
        max_staleness: int = 0,
        max_prompts_per_group: float | None = None,
    ) -> None:
        where = "RatioPreservingSampler"
        if quota_rule not in QUOTA_RULES:
            raise ConfigError(unknown(where, "quota_rule", quota_rule, QUOTA_RULES))
        if shortfall not in SHORTFALL_POLICIES:
            raise ConfigError(unknown(where, "shortfall", shortfall, SHORTFALL_POLICIES))

        if max_resamples < 0 or shares_from_step < 0:
            raise ConfigError(
                f"{where}: max_resamples={max_resamples}, shares_from_step={shares_from_step}; "
                "both must be at least 0"
            )

        if max_prompts_per_group is not None and not 1 <= max_prompts_per_group < np.inf:
            raise ConfigError(
                f"{where}: max_prompts_per_group={max_prompts_per_group}; "
                "at least 1, or None: no limit"
            )

        super().__init__(group_filter, acceptance, max_staleness)
        self.quota_rule = quota_rule
        self.planner = planner or NeededRounds()

        self.max_resamples = max_resamples
        self.shortfall = shortfall
        self.max_prompts_per_group = max_prompts_per_group

        self.keep_shares, self.shares_from_step = keep_shares, shares_from_step

    def _make_rules(self, tasks: tuple[str, ...], batch_size: int) -> FillRules:
        return FillRules(
            tasks=tasks,
            batch_size=batch_size,
            planner=self.planner,
            acceptance=self.acceptance,
            group_filter=self.group_filter,
            max_resamples=self.max_resamples,
            max_prompts_per_group=self.max_prompts_per_group,
            shortfall=self.shortfall,
        )

    def new_batch(self, weights: Floats, step: int, rng: np.random.Generator) -> Batch:
        rules = self._bound()
        quotas = None
        if self.keep_shares and step >= self.shares_from_step:
            drawn = self._draw_quotas(weights, rng)
            quotas = drawn if drawn.any() else None

        self.bank.expire(step)
        banked = self.bank.withdraw(rules.tasks, quotas, rules.batch_size)
        return Batch(rules, weights, quotas, rng, banked=banked, room=self._bank_room(weights))

    def restore_batch(self, state: State, rng: np.random.Generator) -> Batch:
        weights = np.array(state["weights"], dtype=np.float64)
        batch = Batch(self._bound(), weights, None, rng, room=self._bank_room(weights))
        batch.load_state_dict(state)
        return batch

    def _bank_room(self, weights: Floats) -> Floats:
        # Groups per task that may be banked on top of what is: half of what the next
        # step will train on. More would save rounds, not groups, and make most of a
        # batch a step old.
        if not self.bank.max_staleness:
            return np.zeros(len(self.tasks))

        held = np.array([self.bank.count(task) for task in self.tasks])
        return np.maximum(weights * self.batch_size / 2 - held, 0.0)

    def _draw_quotas(self, weights: Floats, rng: np.random.Generator) -> Ints:
        if self.quota_rule == "multinomial":
            return quota_rules.multinomial(weights, self.batch_size, rng)

        if self.quota_rule == "released":
            return quota_rules.released(weights, self.batch_size, rng)

        return self._systematic(weights, self.batch_size, rng)

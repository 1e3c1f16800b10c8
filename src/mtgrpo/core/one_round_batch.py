"""The batch of one round: every informative group of it is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtgrpo.core.ahead import LEAST_RATE_AHEAD
from mtgrpo.core.allocation import least_variance
from mtgrpo.core.batch import Batch
from mtgrpo.core.budget import Budget
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.planners import RoundPlanner, RoundView
from mtgrpo.core.probe_stages import Probe
from mtgrpo.core.probes import ProbeRule, StepProbes
from mtgrpo.core.share_debt import targets_of_loss
from mtgrpo.core.types import Floats, Group, Ints, State

PAID_A_STEP = 0.1
"""Part of what tasks are owed that a step pays, where shares are the weights over steps: all of it
at once would undo what chance brought, a twentieth leaves rare tasks behind."""


class GivenRound(RoundPlanner):
    """A round whose counts were settled when the step began."""

    def __init__(self, counts: Ints) -> None:
        self.counts = counts

    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        return self.counts


class OneRoundBatch(Batch):
    """The groups of one round. Made by `OneRoundSampler`.

    Args:
        rules: See `FillRules`; the planner is not asked.
        weights: z, shape (K,).
        planned: Groups to ask of each task, shape (K,).
        owed: What each task is owed before this step, shape (K,).
        budget: What the step may cost; gives each group's cost.
        expected_costs: What a group of each task was expected to cost, shape (K,); None where that
            was not known.
        expected: Informative groups of each task that such steps have on average, shape (K,), for
            shares that are the weights over steps; None for shares that are in this one.
        rng: The mixer's.
        probe_rule: Chooses the probes of large groups; None for whole groups.

    Attributes:
        probes: For engines that generate groups in parts; None where none are to.
    """

    def __init__(
        self,
        rules: FillRules,
        weights: Floats,
        planned: Ints,
        owed: Floats,
        budget: Budget,
        expected_costs: Floats | None,
        expected: Floats | None,
        rng: np.random.Generator,
        probe_rule: ProbeRule | None = None,
    ) -> None:
        super().__init__(replace(rules, planner=GivenRound(planned)), weights, None, rng)
        self._planned, self._owed, self._expected = planned, owed, expected
        self._told_shares: dict[str, float] | None = None

        self._budget, self._expected_costs = budget, expected_costs
        self._cost = np.zeros(len(rules.tasks))  # of each task's groups together, shape (K,)
        self.num_predicted = float(planned.sum())

        if probe_rule is not None:
            rates = rules.acceptance.rates()
            judge = rules.group_filter
            self.probes = StepProbes(rules.tasks, probe_rule, rates, planned, judge, rng)

    def tell(self, groups: Iterable[Group], copies: Sequence[int] | None = None) -> None:
        groups = list(groups)
        each = [self._budget.cost(group) for group in groups]
        super().tell(groups, copies)

        for i in range(len(groups)) if copies is None else copies:
            self._cost[self._index[groups[i].task]] += each[i]

    def _whole_accepted(self) -> Ints | Floats:
        if self.probes is None:
            return self._round_accepted

        informative = self.counts.num_informative  # the step's, which are the round's
        return np.array([informative.get(task, 0) for task in self._rules.tasks])

    @property
    def cost(self) -> float | None:
        """What the groups cost, in the unit of the budget; None where that is groups."""
        return float(self._cost.sum()) if self._budget.is_measured else None

    @property
    def expected_costs(self) -> Mapping[str, float]:
        """What a group of each task was expected to cost; empty where that was not known."""
        if self._expected_costs is None:
            return {}
        return dict(zip(self._rules.tasks, self._expected_costs.tolist(), strict=True))

    @property
    def told_costs(self) -> tuple[Floats, Floats]:
        """What each task's groups cost together, and how many there were; shape (K,) each."""
        num_groups = self.counts.totals().num_groups
        counts = [num_groups.get(task, 0) for task in self._rules.tasks]
        return self._cost, np.array(counts, dtype=np.float64)

    def prompts_needed(self, weights: Floats, rates: Floats) -> Floats:
        costs = 1.0 if self._expected_costs is None else self._expected_costs
        shares = least_variance(weights, np.maximum(rates, LEAST_RATE_AHEAD), costs)
        return self._planned.sum() * shares

    @property
    def shortfall(self) -> int:
        """None: there are no quotas, and no group of the round is missing."""
        return 0

    @property
    def loss_targets(self) -> dict[str, float]:
        """Each task's wanted share of the loss: its weight, and what is paid of debts.

        Over steps, the weight is that of the groups which a step has on average: a task that has
        more this time has a larger share.

        Among tasks with informative groups. They sum to 1, or are all 0 where there are none.
        """
        tasks, informative = self._rules.tasks, self.counts.num_informative
        counts = np.array([informative.get(task, 0) for task in tasks])

        if self._expected is None:
            targets = targets_of_loss(self._weights, self._owed, counts > 0)
        else:
            wanted = np.zeros(len(tasks))
            np.divide(self._weights * counts, self._expected, out=wanted, where=counts > 0)
            targets = targets_of_loss(wanted, self._owed, counts > 0, PAID_A_STEP)
        return dict(zip(tasks, targets.tolist(), strict=True))

    @property
    def loss_shares(self) -> Mapping[str, float]:
        """Each task's share of the loss: as the engine told it, else what it should be."""
        if self._told_shares is not None:
            return self._told_shares

        informative = self.counts.num_informative
        return balance_loss(self.loss_targets, informative, informative).after

    def tell_loss_shares(self, shares: Mapping[str, float]) -> None:
        self._told_shares = dict(shares)

    def state_dict(self) -> State:
        state = {
            **super().state_dict(),
            "planned": self._planned.tolist(),
            "loss_shares": self._told_shares,
            "cost": self._cost.tolist(),
            "expected": None if self._expected is None else self._expected.tolist(),
        }
        if self.probes is not None:
            state["probes"] = {task: probe.state() for task, probe in self.probes.chosen.items()}
        return state

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._told_shares = state["loss_shares"]
        self._cost = np.array(state["cost"], dtype=np.float64)

        if self.probes is not None:
            chosen = state["probes"].items()
            self.probes.chosen = {task: Probe.from_state(probe) for task, probe in chosen}

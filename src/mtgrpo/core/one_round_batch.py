"""The batch of one round: every informative group of it is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mtgrpo.core.ahead import LEAST_RATE
from mtgrpo.core.allocation import least_variance
from mtgrpo.core.batch import Batch
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.planners import RoundPlanner, RoundView
from mtgrpo.core.share_debt import targets_of_loss
from mtgrpo.core.types import Floats, Ints, State


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
        rng: The mixer's.
    """

    def __init__(
        self,
        rules: FillRules,
        weights: Floats,
        planned: Ints,
        owed: Floats,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(replace(rules, planner=GivenRound(planned)), weights, None, rng)
        self._planned, self._owed = planned, owed
        self._told_shares: dict[str, float] | None = None
        self.num_predicted = float(planned.sum())

    def prompts_needed(self, weights: Floats, rates: Floats) -> Floats:
        shares = least_variance(weights, np.maximum(rates, LEAST_RATE))
        return self._rules.batch_size * shares

    @property
    def shortfall(self) -> int:
        """None: there are no quotas, and no group of the round is missing."""
        return 0

    @property
    def loss_targets(self) -> dict[str, float]:
        """Each task's wanted share of the loss: its weight, and what is paid of debts.

        Among tasks with informative groups. They sum to 1, or are all 0 where there are none.
        """
        tasks, informative = self._rules.tasks, self.counts.num_informative
        is_present = np.array([informative[task] > 0 for task in tasks])

        targets = targets_of_loss(self._weights, self._owed, is_present)
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
        return {
            **super().state_dict(),
            "planned": self._planned.tolist(),
            "loss_shares": self._told_shares,
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._told_shares = state["loss_shares"]

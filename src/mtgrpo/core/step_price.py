"""What steps of one round and refilled ones take for the same noise of the gradient.

Refilling to quotas of ``B z_k`` informative groups has a variance of 1 / B, in units of one such
group's, and generates ``B z_k / a_k`` groups of task k, in several rounds. One round has the same
variance with fewer groups, divided as `least_variance` says, but trains on more: all that are
informative. So one round is better where rounds and rollouts are dear, refilling where rows are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgrpo.core.allocation import gradient_variance, least_variance
from mtgrpo.core.types import Floats

LEAST_RATE = 1 / 12
"""Acceptance rates count as this at least: neither kind of step asks a task for ever more."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step does, on average.

    Attributes:
        rounds: Generation rounds.
        rollouts: Completions generated.
        tokens: Completion tokens generated.
        rows: Completions that pass through the loss.
    """

    rounds: float
    rollouts: float
    tokens: float
    rows: float


@dataclass(frozen=True, slots=True)
class StepPrice:
    """Seconds that the parts of a step take.

    Attributes:
        per_round: Of a round, however small: the barrier, the wait for its longest completion.
        per_rollout: Of a completion generated, besides its tokens.
        per_token: Of a completion token generated.
        per_row: Of a completion trained on: log-probabilities, forward and backward pass.
    """

    per_round: float = 0.0
    per_rollout: float = 0.0
    per_token: float = 0.0
    per_row: float = 0.0

    def seconds(self, work: StepWork) -> float:
        """What a step takes."""
        return (
            self.per_round * work.rounds
            + self.per_rollout * work.rollouts
            + self.per_token * work.tokens
            + self.per_row * work.rows
        )


@dataclass(frozen=True)
class Mixture:
    """What a step's work depends on. Arrays of shape (K,).

    Attributes:
        weights: z.
        acceptance_rates: a.
        tokens: Completion tokens of a group.
        group_size: Completions per group.
        batch_size: B, the informative groups of a refilled batch; need not be whole.
        skips_rows: Whether completions without a gradient are left out of the loss's passes.
    """

    weights: Floats
    acceptance_rates: Floats
    tokens: Floats
    group_size: int
    batch_size: float
    skips_rows: bool = True

    def refilled(self, rounds: float) -> StepWork:
        """The work of a refilled step of so many rounds."""
        counts = self.batch_size * self.weights / self._rates
        rows = self.batch_size * self.group_size
        return StepWork(rounds, *self._generated(counts), rows)

    def one_round(self) -> StepWork:
        """The work of a step of one round with the gradient's variance of a refilled one."""
        shares = least_variance(self.weights, self._rates, self.tokens)
        counts = shares * self.batch_size * self.groups_per_informative

        num_trained = counts @ self._rates if self.skips_rows else counts.sum()
        rows = float(num_trained) * self.group_size
        return StepWork(1.0, *self._generated(counts), rows)

    @property
    def groups_per_informative(self) -> float:
        """Groups of a step of one round with the variance of a single informative group."""
        shares = least_variance(self.weights, self._rates, self.tokens)
        return gradient_variance(self.weights, self._rates, shares)

    @property
    def _rates(self) -> Floats:
        return np.maximum(self.acceptance_rates, LEAST_RATE)

    def _generated(self, counts: Floats) -> tuple[float, float]:
        """Completions and tokens of so many groups of each task."""
        return float(counts.sum()) * self.group_size, float(counts @ self.tokens)

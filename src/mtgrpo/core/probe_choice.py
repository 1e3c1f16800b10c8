"""Which probe a task's large groups should have, from its acceptance rate and mean accuracy.

The pass rates of a task's prompts are taken to be Beta-distributed, with the mean accuracy J and
the share a_G of mixed groups. Then all that a probe of n0 completions does is known in closed form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mtgrpo.core.types import Floats

LEAST_SAVING = 1.1
"""Whole groups are generated where a probe promises less."""
LEAST_GROUP = 16
"""Smallest group that is worth a probe."""
SIZES = (4, 6, 8, 12, 16, 24, 32, 48)
LEAST_CHANCE = 1 / 16
NUM_HALVINGS = 40


class Probe(NamedTuple):
    """How many completions a prompt has first, and how often constant ones get the others.

    Attributes:
        size: n0; the size of the group where there is no probe.
        chance: q, above 0.
    """

    size: int
    chance: float = 1.0


class ProbeValue(NamedTuple):
    """What a probe does, against whole groups.

    Attributes:
        cost: Completions.
        variance: Second moment of a group's weighted signal: groups that count 1 / q make it
            larger than 1.
        saving: By how much fewer completions are needed for the same variance of the gradient.
    """

    cost: float
    variance: float
    saving: float


class BetaPrompts:
    """Beta-distributed pass rates of a task's prompts, in groups of G.

    Args:
        mean: Mean pass rate J.
        acceptance: Share a_G of the groups that have right and wrong completions. What no
            distribution with this mean has is taken for the nearest that one has.
        group_size: G.
    """

    def __init__(self, mean: float, acceptance: float, group_size: int) -> None:
        self.group_size = group_size
        mean = min(max(mean, 1e-4), 1 - 1e-4)

        # alpha + beta, the concentration: the more, the more alike the prompts, and the more
        # groups are mixed.
        low, high = math.log(1e-4), math.log(1e4)
        for _ in range(NUM_HALVINGS):
            middle = (low + high) / 2
            self._set(mean, math.exp(middle))
            if self.share_mixed(group_size) < acceptance:
                low = middle
            else:
                high = middle

    def _set(self, mean: float, concentration: float) -> None:
        places = np.arange(self.group_size)
        alpha, beta = mean * concentration, (1 - mean) * concentration

        # Logarithms of the rising factorials, shape (G + 1,) each: E[p^c (1 - p)^w] is
        # exp(right[c] + wrong[w] - total[c + w]).
        self._right = _cumulated(np.log(alpha + places))
        self._wrong = _cumulated(np.log(beta + places))
        self._total = _cumulated(np.log(concentration + places))

    def share_mixed(self, size: int) -> float:
        """P(right and wrong ones among so many completions)."""
        all_right = math.exp(self._right[size] - self._total[size])
        all_wrong = math.exp(self._wrong[size] - self._total[size])
        return max(0.0, 1.0 - all_right - all_wrong)

    def signal(self) -> float:
        """Second moment of a whole group's signal: its own p (1 - p), on average."""
        size = self.group_size
        one_of_each = math.exp(self._right[1] + self._wrong[1] - self._total[2])  # E[p (1 - p)]
        return one_of_each * (size - 1) / size

    def missed(self, size: int) -> float:
        """The part of it in groups whose first `size` completions are all right or all wrong."""
        rest = self.group_size - size
        more = np.arange(rest + 1)  # right, or wrong, completions among the others
        ways = _log_choose(rest)

        total = self._total[self.group_size]
        after_wrong = np.exp(ways + self._right[more] + self._wrong[::-1][more] - total)
        after_right = np.exp(ways + self._wrong[more] + self._right[::-1][more] - total)

        shares = more / self.group_size
        return float(((after_wrong + after_right) * shares * (1 - shares)).sum())

    def value(self, probe: Probe) -> ProbeValue:
        """What a probe does for groups of this distribution."""
        rest, constant = self.group_size - probe.size, 1 - self.share_mixed(probe.size)
        every, missed = self.signal(), self.missed(probe.size)

        cost = probe.size + rest * (1 - constant + constant * probe.chance)
        variance = (every - missed + missed / probe.chance) / every
        return ProbeValue(
            cost=cost / self.group_size,
            variance=variance,
            saving=self.group_size / (cost * variance),
        )

    def best(self) -> Probe:
        """The probe that saves most at equal variance; whole groups where none saves enough."""
        best, most = Probe(self.group_size), LEAST_SAVING
        for size in SIZES:
            if size >= self.group_size:
                break

            probe = Probe(size, self._best_chance(size))
            saving = self.value(probe).saving
            if saving >= most:
                best, most = probe, saving
        return best

    def _best_chance(self, size: int) -> float:
        # Cost is c + d q and variance v + m / q, and their product is least at
        # q^2 = (c m) / (d v).
        rest, mixed = self.group_size - size, self.share_mixed(size)
        missed = self.missed(size)

        cost, by_chance = size + rest * mixed, rest * (1 - mixed)
        variance = self.signal() - missed
        if variance <= 0 or by_chance <= 0:
            return 1.0
        chance = math.sqrt(cost * missed / (by_chance * variance))
        return min(max(chance, LEAST_CHANCE), 1.0)


def best_probe(mean: float, acceptance: float, group_size: int) -> Probe:
    """The probe for groups of G; whole groups where they are small or no probe saves enough.

    Args:
        mean: Mean accuracy of the task.
        acceptance: Share of its groups that are mixed.
        group_size: G.
    """
    if group_size < LEAST_GROUP:
        return Probe(group_size)
    return BetaPrompts(mean, acceptance, group_size).best()


def _cumulated(logs: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(logs)])


def _log_choose(size: int) -> Floats:
    """Logarithms of the binomial coefficients of `size`, shape (size + 1,)."""
    factorials = _cumulated(np.log(np.arange(1, size + 1)))
    return factorials[size] - factorials - factorials[::-1]

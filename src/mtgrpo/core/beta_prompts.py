"""Groups of a task whose prompts' pass rates are Beta-distributed, in closed form."""

from __future__ import annotations

import math

import numpy as np

from mtgrpo.core.types import Floats

NUM_HALVINGS = 40


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

        self._mean, self._concentration = mean, math.exp(high)

    def __repr__(self) -> str:
        return (
            f"BetaPrompts(alpha={self._mean * self._concentration:.3g}, "
            f"beta={(1 - self._mean) * self._concentration:.3g}, group_size={self.group_size})"
        )

    def _set(self, mean: float, concentration: float) -> None:
        places = np.arange(self.group_size)
        alpha, beta = mean * concentration, (1 - mean) * concentration

        # Logarithms of the rising factorials, shape (G + 1,) each: E[p^c (1 - p)^w] is
        # exp(right[c] + wrong[w] - total[c + w]).
        self._right = _cumulated(np.log(alpha + places))
        self._wrong = _cumulated(np.log(beta + places))
        self._total = _cumulated(np.log(concentration + places))

    def share_wrong(self, size: int) -> float:
        """P(so many completions are all wrong)."""
        return math.exp(self._wrong[size] - self._total[size])

    def share_right(self, size: int) -> float:
        """P(so many completions are all right)."""
        return math.exp(self._right[size] - self._total[size])

    def share_mixed(self, size: int) -> float:
        """P(right and wrong ones among so many completions)."""
        return max(0.0, 1.0 - self.share_wrong(size) - self.share_right(size))

    def signal(self) -> float:
        """Second moment of a whole group's signal: its own p (1 - p), on average."""
        size = self.group_size
        one_of_each = math.exp(self._right[1] + self._wrong[1] - self._total[2])  # E[p (1 - p)]
        return one_of_each * (size - 1) / size

    def signal_after_wrong(self, size: int) -> float:
        """The part of it in groups whose first `size` completions are all wrong."""
        return self._signal_after(size, self._right, self._wrong)

    def signal_after_right(self, size: int) -> float:
        """The part of it in groups whose first `size` completions are all right."""
        return self._signal_after(size, self._wrong, self._right)

    def _signal_after(self, size: int, other: Floats, same: Floats) -> float:
        # Among the completions to come `more` are of the other kind.
        rest = self.group_size - size
        more = np.arange(rest + 1)
        logs = _log_choose(rest) + other[more] + same[::-1][more] - self._total[self.group_size]

        shares = more / self.group_size
        return float((np.exp(logs) * shares * (1 - shares)).sum())


def _cumulated(logs: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(logs)])


def _log_choose(size: int) -> Floats:
    """Logarithms of the binomial coefficients of `size`, shape (size + 1,)."""
    factorials = _cumulated(np.log(np.arange(1, size + 1)))
    return factorials[size] - factorials - factorials[::-1]

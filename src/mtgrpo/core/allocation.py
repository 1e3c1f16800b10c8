"""How a budget is divided into groups where the tasks' shares are made in the loss."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats

NUM_HALVINGS = 60


def least_variance(
    weights: Floats, acceptance_rates: Floats, costs: Floats | float = 1.0
) -> Floats:
    """Shares of the groups with the least variance of the gradient, shape (K,); they sum to 1.

    ``n_k ~ z_k s_k / sqrt(a_k c_k)``: least at a given ``sum n_k c_k``.

    Args:
        weights: z, the tasks' shares of the loss; times s_k, the deviations of their informative
            gradients, where those are known.
        acceptance_rates: a, above 0.
        costs: c, of a group of each task, above 0, in any unit.
    """
    shares = weights / np.sqrt(acceptance_rates * costs)
    return shares / shares.sum()


def within_budget(
    weights: Floats, acceptance_rates: Floats, costs: Floats, budget: float, most: float
) -> Floats:
    """Numbers of groups with the least variance at a budget, shape (K,); they need not be whole.

    They cost ``sum n_k c_k <= budget`` together, and ``sum n_k <= most``. Least is
    ``n_k ~ z_k / sqrt(a_k p_k)``, with a price p_k of a group between 1 and its cost: 1 where
    only the number of groups is limited, its cost where only the budget is.

    Args:
        weights: As `least_variance`.
        acceptance_rates: Likewise.
        costs: Likewise, in the unit of the budget.
        budget: What all groups may cost together.
        most: Most groups, all tasks together.
    """
    relative = costs / costs.mean()

    by_number = most * least_variance(weights, acceptance_rates)
    if by_number @ costs <= budget:
        return by_number

    shares = least_variance(weights, acceptance_rates, relative)
    by_cost = shares * (budget / (shares @ costs))
    if by_cost.sum() <= most:
        return by_cost

    # Both limits are met: the more costs count, the less that many groups cost.
    low, high = 0.0, 1.0
    counts = by_cost
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        prices = (1 - middle) + middle * relative
        counts = most * least_variance(weights, acceptance_rates, prices)
        if counts @ costs > budget:
            low = middle
        else:
            high = middle
    return counts


def gradient_variance(weights: Floats, acceptance_rates: Floats, counts: Floats) -> float:
    """``sum_k z_k^2 / (n_k a_k)``, in units of an informative group's variance."""
    return float((weights**2 / (counts * acceptance_rates)).sum())

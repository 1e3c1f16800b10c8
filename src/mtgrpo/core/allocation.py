"""How a budget of groups is divided where the tasks' shares are made in the loss."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats


def least_variance(weights: Floats, acceptance_rates: Floats) -> Floats:
    """Shares of a budget of groups with the least variance of the gradient, shape (K,); sum to 1.

    Args:
        weights: z, the tasks' shares of the loss.
        acceptance_rates: a, above 0.
    """
    shares = weights / np.sqrt(acceptance_rates)
    return shares / shares.sum()


def gradient_variance(weights: Floats, acceptance_rates: Floats, counts: Floats) -> float:
    """``sum_k z_k^2 / (n_k a_k)``, in units of an informative group's variance."""
    return float((weights**2 / (counts * acceptance_rates)).sum())

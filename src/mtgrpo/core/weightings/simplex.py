"""What is done to points of the simplex: softmax, its gradient, and caps."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats


def softmax(logits: Floats) -> Floats:
    """Softmax of a vector, safe against overflow."""
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def simplex_gradient(weights: Floats, scores: Floats) -> Floats:
    """``g_k = z_k (s_k - sum_j z_j s_j)``, the gradient of ``sum_k z_k s_k`` in the logits."""
    return weights * (scores - weights @ scores)


def cap_weights(weights: Floats, caps: Floats) -> Floats:
    """The weights with none above its cap.

    What is cut off goes to the others in proportion to their weights. Where the caps
    sum to less than 1 they cannot be kept, and the result is in proportion to them.

    Args:
        weights: Positive, summing to 1, shape (K,).
        caps: Positive, shape (K,).
    """
    if caps.sum() <= 1:
        return caps / caps.sum()

    is_capped = np.zeros(len(weights), dtype=bool)
    while True:
        left = 1 - caps[is_capped].sum()
        scaled = weights * (left / weights[~is_capped].sum())

        over = ~is_capped & (scaled > caps)
        if not over.any():
            return np.where(is_capped, caps, scaled)
        is_capped |= over

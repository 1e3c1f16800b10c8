"""How many of a batch's groups each task gets: weights -> integers.

Each rule is ``rule(weights, batch_size, rng_or_offset) -> counts``, over arrays in task
order.
"""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats, Ints

# Steps of the golden ratio spread over [0, 1) more evenly than any other fixed step.
GOLDEN_STEP = (5**0.5 - 1) / 2


def multinomial(weights: Floats, batch_size: int, rng: np.random.Generator) -> Ints:
    """Independent draws: unbiased, with variance ``B z (1 - z)``.

    Source: paper, Algorithm 2, line 1.
    """
    return rng.multinomial(batch_size, weights / weights.sum())


def released(
    weights: Floats, batch_size: int, rng: np.random.Generator, oversampling: int = 3
) -> Ints:
    """``round(B * frequency)`` over ``3 B`` draws. The sum may miss ``batch_size``.

    Of many tasks each may be drawn once at most, and then all counts are 0.

    Source: the released code.
    """
    draws = rng.multinomial(oversampling * batch_size, weights / weights.sum())
    return np.rint(draws / oversampling).astype(np.int64)


def systematic(weights: Floats, batch_size: float, offset: float) -> Ints:
    """Systematic rounding: the counts sum to `batch_size` and each is within one of ``B z``.

    Where B is not whole, they sum to one of the two whole numbers beside it, and to B on average.

    Lay the shares ``B z_k`` end to end on a line of length B and count the points ``1 -
    offset, 2 - offset, ...`` that fall into each. Over a uniform offset the counts are
    unbiased. Moving the offset by `GOLDEN_STEP` each step keeps it uniform (its start
    is random) and makes the running mean of the counts approach ``B z`` at rate O(log t
    / t) instead of O(1 / sqrt t).

    Args:
        weights: Non-negative, any positive sum.
        batch_size: B.
        offset: In [0, 1).
    """
    edges = np.empty(len(weights) + 1)
    edges[0] = 0.0
    np.cumsum(weights, out=edges[1:])
    edges /= edges[-1]  # exactly 1 at the end, and wherever only zero weights follow

    # B + offset rounds up to B + 1 when the offset is almost 1.
    points = np.minimum(np.floor(edges * batch_size + offset), np.ceil(batch_size))
    return np.diff(points).astype(np.int64)

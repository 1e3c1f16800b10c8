"""A small exact solver for linear programs of covering."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.errors import ConfigError

EPSILON = 1e-9


def cover(matrix: Floats, needs: Floats, costs: Floats) -> Floats | None:
    """The cheapest amounts x of at least 0 with ``matrix @ x >= needs``, shape (n,).

    The dual simplex method: doing nothing is optimal for the costs, and each pivot meets one need
    more at the least rise of cost per unit. Ties go to the lowest number, so that it ends. Dense:
    meant for tens of variables.

    Args:
        matrix: What a unit of each amount gives to each need, shape (m, n).
        needs: Shape (m,).
        costs: Of a unit of each amount, at least 0, shape (n,).

    Returns:
        None where no amounts meet all needs.

    Raises:
        ConfigError: A cost below 0.
    """
    if (costs < 0).any():
        raise ConfigError(f"cover: costs {costs.tolist()}; they must be at least 0")

    num_needs, num_amounts = matrix.shape
    # Rows: x_basis + table @ x_others = values; the slacks are the first basis.
    table = np.hstack([-matrix, np.eye(num_needs)])  # (m, n + m)
    values = -needs.astype(np.float64)
    reduced = np.concatenate([costs, np.zeros(num_needs)])  # (n + m,), stays at least 0
    basis = np.arange(num_amounts, num_amounts + num_needs)

    while (values < -EPSILON).any():
        row = min(np.flatnonzero(values < -EPSILON).tolist(), key=lambda i: basis[i])
        usable = np.flatnonzero(table[row] < -EPSILON)
        if not usable.size:
            return None

        ratios = reduced[usable] / -table[row, usable]
        column = int(usable[ratios <= ratios.min() + EPSILON][0])
        _pivot(table, values, reduced, row, column)
        basis[row] = column

    amounts = np.zeros(num_amounts + num_needs)
    amounts[basis] = values
    return np.maximum(amounts[:num_amounts], 0.0)


def _pivot(table: Floats, values: Floats, reduced: Floats, row: int, column: int) -> None:
    """Bring a column into the basis, in place."""
    pivot = table[row, column]
    table[row] /= pivot
    values[row] /= pivot

    for i in range(len(table)):
        if i != row:
            factor = table[i, column]
            table[i] -= factor * table[row]
            values[i] -= factor * values[row]

    reduced -= reduced[column] * table[row]
    np.maximum(reduced, 0.0, out=reduced)

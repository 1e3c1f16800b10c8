"""The small solver against programs solved by hand and by trying all corners."""

import itertools

import numpy as np
import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.simulation.linear_program import cover


def cheapest_corner(matrix, needs, costs):
    """The least cost over all corners of ``matrix @ x >= needs, x >= 0``; None without any."""
    m, n = matrix.shape
    rows, limits = np.vstack([matrix, np.eye(n)]), np.concatenate([needs, np.zeros(n)])
    best = None
    for chosen in itertools.combinations(range(m + n), n):
        corner = rows[list(chosen)]
        if abs(np.linalg.det(corner)) < 1e-12:
            continue
        x = np.linalg.solve(corner, limits[list(chosen)])
        if (rows @ x >= limits - 1e-9).all() and (best is None or costs @ x < best):
            best = costs @ x
    return best


def test_without_transfer_each_need_is_met_alone():
    x = cover(np.eye(3), np.array([2.0, 0.0, 5.0]), np.array([1.0, 1.0, 3.0]))
    assert x == pytest.approx([2, 0, 5])


def test_what_helps_others_is_trained_on_for_them():
    # The second task is dear (10) and half of what is done for the first (1) helps it.
    matrix, costs = np.array([[1.0, 0.0], [0.5, 1.0]]), np.array([1.0, 10.0])
    assert cover(matrix, np.array([1.0, 1.0]), costs) == pytest.approx([2, 0])
    assert cover(matrix, np.array([4.0, 1.0]), costs) == pytest.approx([4, 0])
    assert cover(matrix, np.array([1.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx([1, 0.5])


def test_nothing_needed_costs_nothing():
    x = cover(np.eye(2), np.array([-1.0, 0.0]), np.array([1.0, 1.0]))
    assert x == pytest.approx([0, 0])


def test_tasks_that_undo_each_other_cannot_both_be_lifted():
    matrix = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert cover(matrix, np.array([1.0, 1.0]), np.array([1.0, 1.0])) is None


@pytest.mark.parametrize("seed", range(40))
def test_it_finds_the_cheapest_corner(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    matrix = np.eye(n) + rng.normal(0, 0.5, (n, n))
    needs, costs = rng.uniform(-0.5, 2, n), rng.uniform(0, 3, n)
    if seed % 4 == 0:
        costs[0] = 0.0  # ties

    x, least = cover(matrix, needs, costs), cheapest_corner(matrix, needs, costs)
    if least is None:
        assert x is None
        return
    assert (x >= 0).all()
    assert (matrix @ x >= needs - 1e-7).all()
    assert costs @ x == pytest.approx(least, abs=1e-7)


def test_twenty_tasks_of_one_kind_are_lifted_alike():
    transfer = np.full((20, 20), 0.3) + 0.7 * np.eye(20)
    x = cover(transfer, np.ones(20), np.ones(20))
    assert x == pytest.approx(np.full(20, 1 / (1 + 19 * 0.3)))


def test_costs_below_zero_are_refused():
    with pytest.raises(ConfigError, match="must be at least 0"):
        cover(np.eye(2), np.ones(2), np.array([1.0, -1.0]))

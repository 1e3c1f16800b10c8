"""The division of a budget of groups: formulas, and gradients that are drawn."""

import numpy as np
import pytest

from mtgrpo.core.allocation import gradient_variance, least_variance, within_budget

RATES = {"the paper's": (0.12, 0.35, 0.67), "far apart": (0.02, 0.35, 0.95)}
SAVED = {"the paper's": 1.13, "far apart": 1.69}
EVEN = np.full(3, 1 / 3)


def equal_informative(weights, rates):
    """What refilling comes to: as many informative groups as the weights say."""
    shares = weights / rates
    return shares / shares.sum()


@pytest.mark.parametrize("name", RATES)
def test_equal_informative_quotas_cost_more_for_the_same_variance(name):
    """Variance falls as 1 / groups, so its ratio is that of the groups. (SPEC 11: 1.14 and 1.7.)"""
    rates, budget = np.array(RATES[name]), 96
    least = gradient_variance(EVEN, rates, budget * least_variance(EVEN, rates))
    equal = gradient_variance(EVEN, rates, budget * equal_informative(EVEN, rates))
    assert equal / least == pytest.approx(SAVED[name], abs=0.005)
    assert least == pytest.approx((EVEN / np.sqrt(rates)).sum() ** 2 / budget)


@pytest.mark.parametrize("name", RATES)
def test_no_other_division_has_less(name):
    rng, rates = np.random.default_rng(0), np.array(RATES[name])
    weights = np.array([0.5, 0.3, 0.2])
    best = least_variance(weights, rates)
    least = gradient_variance(weights, rates, best)
    for other in rng.dirichlet(np.full(3, 20.0), size=200):
        assert gradient_variance(weights, rates, other) >= least


def test_the_formula_is_the_variance_of_gradients_that_are_drawn():
    """Informative groups give unit noise; each task's mean of them counts z_k. Many groups, so that
    a task without an informative one is rare."""
    rng, weights = np.random.default_rng(1), np.array([0.5, 0.3, 0.2])
    rates, counts = np.array([0.25, 0.5, 0.9]), np.array([400, 200, 100])
    num_informative = rng.binomial(counts, rates, size=(20_000, 3))
    means = rng.standard_normal((20_000, 3)) / np.sqrt(num_informative)
    expected = gradient_variance(weights, rates, counts.astype(float))
    assert (means @ weights).var() == pytest.approx(expected, rel=0.05)


# ---- costs ---------------------------------------------------------------------------------------
WEIGHTS, RARE = np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.5, 0.9])
COSTS = np.array([100.0, 400.0, 900.0])


def test_a_task_that_costs_four_times_as_much_gets_half_as_many():
    shares = least_variance(np.array([0.5, 0.5]), np.ones(2), np.array([1.0, 4.0]))
    assert shares == pytest.approx([2 / 3, 1 / 3])
    doubled = least_variance(np.array([1.0, 0.5]), np.ones(2))  # z s, with s = (2, 1)
    assert doubled == pytest.approx([2 / 3, 1 / 3])


def test_a_budget_that_all_groups_are_within_costs_nothing():
    counts = within_budget(WEIGHTS, RARE, COSTS, budget=1e6, most=32)
    assert counts == pytest.approx(32 * least_variance(WEIGHTS, RARE))


def test_a_small_budget_is_spent_by_cost():
    counts = within_budget(WEIGHTS, RARE, COSTS, budget=4096, most=32)
    assert counts @ COSTS == pytest.approx(4096)
    assert counts.sum() < 32
    ideal = WEIGHTS / np.sqrt(RARE * COSTS)
    assert counts / counts.sum() == pytest.approx(ideal / ideal.sum())


@pytest.mark.parametrize("budget", [3000, 4700, 5500, 6700, 9000])
def test_within_both_limits_no_other_division_has_less(budget):
    """From a budget that limits alone, over both limits, to a number that limits alone."""
    rng, most = np.random.default_rng(0), 24
    best = within_budget(WEIGHTS, RARE, COSTS, budget=budget, most=most)
    assert best.sum() <= most + 1e-9
    assert best @ COSTS <= budget + 1e-6
    least = gradient_variance(WEIGHTS, RARE, best)

    for shares in rng.dirichlet(40 * best / best.sum(), size=300):
        other = shares * min(most, budget / (shares @ COSTS))
        assert gradient_variance(WEIGHTS, RARE, other) >= least * (1 - 1e-9)


def test_both_limits_can_be_met():
    n = within_budget(WEIGHTS, RARE, COSTS, budget=5500, most=24)
    assert n.sum() == pytest.approx(24)
    assert n @ COSTS == pytest.approx(5500)

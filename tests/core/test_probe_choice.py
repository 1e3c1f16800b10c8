"""Which probe saves most, against drawn groups."""

import numpy as np
import pytest

from mtgrpo.core.probe_choice import LEAST_SAVING, BetaPrompts, Probe, best_probe


def test_the_distribution_has_the_mean_and_the_share_of_mixed_groups():
    prompts = BetaPrompts(mean=0.2, acceptance=0.35, group_size=32)
    assert prompts.share_mixed(32) == pytest.approx(0.35, abs=1e-6)
    assert prompts.share_mixed(1) == 0.0
    assert prompts.share_mixed(8) < prompts.share_mixed(16) < 0.35


def test_a_share_that_no_distribution_has_is_taken_for_prompts_that_are_all_alike():
    prompts = BetaPrompts(mean=0.05, acceptance=1.0, group_size=16)
    assert prompts.share_mixed(16) == pytest.approx(1 - 0.95**16 - 0.05**16, abs=1e-3)


def test_cost_and_variance_are_those_of_drawn_groups():
    """A known truth: pass rates of the fitted Beta distribution, drawn a million times."""
    size, probe, rng = 32, Probe(8, 0.25), np.random.default_rng(0)
    mean, concentration = 0.2, 0.5
    rates = rng.beta(mean * concentration, (1 - mean) * concentration, 1_000_000)
    first, rest = rng.binomial(8, rates), rng.binomial(24, rates)

    whole = (first + rest) / size
    signal = whole * (1 - whole)
    is_constant = (first == 0) | (first == 8)
    acceptance = float((signal > 0).mean())

    value = BetaPrompts(mean, acceptance, size).value(probe)
    completed = np.where(is_constant, 0.25, 1.0).mean()
    assert value.cost == pytest.approx((8 + 24 * completed) / size, abs=0.005)

    weighted = np.where(is_constant, 4 * signal, signal).mean()
    assert value.variance == pytest.approx(weighted / signal.mean(), abs=0.01)
    assert value.saving == pytest.approx(1 / (value.cost * value.variance))


@pytest.mark.parametrize("group_size", [16, 32, 72])
@pytest.mark.parametrize(
    ("mean", "acceptance"), [(0.06, 0.12), (0.2, 0.35), (0.5, 0.67), (0.5, 1.0)]
)
def test_no_other_probe_saves_more(group_size, mean, acceptance):
    prompts = BetaPrompts(mean, acceptance, group_size)
    best = prompts.best()

    others = [Probe(n, q) for n in (4, 6, 8, 12, 16, 24) for q in (1 / 16, 0.1, 0.2, 0.3, 0.5, 1.0)]
    most = max(prompts.value(probe).saving for probe in others if probe.size < group_size)
    assert prompts.value(best).saving >= most - 1e-9 or most < LEAST_SAVING
    if best.size == group_size:
        assert best.chance == 1.0


def test_what_it_comes_to_at_the_papers_group_size():
    """As benchmarks/probes.py has it, which takes quantiles for the distribution."""
    size, chance = best_probe(0.06, 0.12, 72)
    assert (size, round(chance, 2)) == (12, 0.2)
    assert BetaPrompts(0.06, 0.12, 72).value(Probe(size, chance)).saving > 1.6


@pytest.mark.parametrize(
    ("mean", "acceptance", "group_size"),
    [(0.06, 0.12, 8), (0.5, 0.95, 32), (0.05, 1.0, 72), (0.5, 0.67, 16)],
)
def test_off_where_groups_are_small_or_nearly_all_mixed(mean, acceptance, group_size):
    assert best_probe(mean, acceptance, group_size) == Probe(group_size, 1.0)

"""Beta-distributed pass rates, against drawn groups."""

import numpy as np
import pytest

from mtgrpo.core.beta_prompts import BetaPrompts


def test_the_distribution_has_the_mean_and_the_share_of_mixed_groups():
    prompts = BetaPrompts(mean=0.2, acceptance=0.35, group_size=32)
    assert prompts.share_mixed(32) == pytest.approx(0.35, abs=1e-6)
    assert prompts.share_mixed(1) == 0.0
    assert prompts.share_mixed(8) < prompts.share_mixed(16) < 0.35


def test_a_share_that_no_distribution_has_is_taken_for_prompts_that_are_all_alike():
    prompts = BetaPrompts(mean=0.05, acceptance=1.0, group_size=16)
    assert prompts.share_mixed(16) == pytest.approx(1 - 0.95**16 - 0.05**16, abs=1e-3)


def test_shares_and_signals_are_those_of_drawn_groups():
    """A known truth: pass rates of the fitted distribution, drawn a million times."""
    size, rng = 16, np.random.default_rng(0)
    rates = rng.beta(0.1, 0.4, 1_000_000)
    first, rest = rng.binomial(4, rates), rng.binomial(size - 4, rates)
    share = (first + rest) / size
    signal = share * (1 - share)

    prompts = BetaPrompts(0.2, float((signal > 0).mean()), size)
    assert prompts.share_wrong(4) == pytest.approx((first == 0).mean(), abs=0.003)
    assert prompts.share_right(4) == pytest.approx((first == 4).mean(), abs=0.003)
    assert prompts.signal() == pytest.approx(signal.mean(), rel=0.02)
    assert prompts.signal_after_wrong(4) == pytest.approx(signal[first == 0].sum() / 1e6, rel=0.03)
    assert prompts.signal_after_right(4) == pytest.approx(signal[first == 4].sum() / 1e6, rel=0.03)
    assert prompts.signal_after_wrong(size) == prompts.signal_after_right(size) == 0.0

"""What steps take: by hand, and one round against refilling."""

from dataclasses import replace

import numpy as np
import pytest

from mtgrpo.core.step_price import LEAST_RATE, Mixture, StepPrice, StepWork

RATES = np.array([0.12, 0.35, 0.67])


def mixture(rates=RATES, tokens=(800.0, 800.0, 800.0), batch_size=32):
    return Mixture(np.full(3, 1 / 3), np.array(rates), np.array(tokens), 8, batch_size)


def test_a_step_is_the_sum_of_its_parts():
    price = StepPrice(per_round=10, per_rollout=0.5, per_token=0.001, per_row=2)
    assert (
        price.seconds(StepWork(rounds=3, rollouts=100, tokens=5000, rows=64)) == 30 + 50 + 5 + 128
    )


def test_refilling_generates_until_all_quotas_are_met():
    work = mixture().refilled(rounds=2.5)
    groups = 32 / 3 * (1 / RATES).sum()
    assert (work.rounds, work.rows) == (2.5, 32 * 8)
    assert work.rollouts == pytest.approx(8 * groups)
    assert work.tokens == pytest.approx(800 * groups)


def test_one_round_generates_less_and_trains_on_more():
    """1.13 times both ways, at the rates of the paper's shape and equal weights."""
    one, refilled = mixture().one_round(), mixture().refilled(2.5)
    assert one.rounds == 1
    assert refilled.rollouts / one.rollouts == pytest.approx(1.13, abs=0.005)
    roots = np.sqrt(RATES)
    assert one.rows / refilled.rows == pytest.approx((1 / roots).mean() * roots.mean())
    assert one.rows > refilled.rows


def test_rows_without_a_gradient_count_where_they_are_not_left_out():
    work = replace(mixture(), skips_rows=False).one_round()
    assert work.rows == work.rollouts


def test_both_have_the_same_variance():
    """Of one round, with long answers of the third task: sum z^2 / (n a) = 1 / B."""
    mixed = mixture(tokens=(100.0, 400.0, 900.0))
    one = mixed.one_round()
    shares = 1 / np.sqrt(RATES * [100, 400, 900])
    counts = shares / shares.sum() * one.rollouts / 8
    assert (1 / 9 / (counts * RATES)).sum() == pytest.approx(1 / 32)
    assert one.tokens == pytest.approx(counts @ [100, 400, 900])


def test_equal_rates_leave_the_rounds_as_the_difference():
    alike = mixture(rates=[0.5, 0.5, 0.5])
    one, refilled = alike.one_round(), alike.refilled(3)
    assert (one.rollouts, one.rows) == pytest.approx((refilled.rollouts, refilled.rows))


def test_which_is_better_follows_the_price():
    mixed = mixture()
    one, refilled = mixed.one_round(), mixed.refilled(2.5)
    long_answers, dear_updates = StepPrice(per_round=60, per_row=0.1), StepPrice(per_row=0.1)
    assert long_answers.seconds(one) < long_answers.seconds(refilled)
    assert dear_updates.seconds(one) > dear_updates.seconds(refilled)


def test_a_hopeless_task_does_not_cost_without_end():
    hopeless, capped = mixture(rates=[0.0, 0.5, 0.5]), mixture(rates=[LEAST_RATE, 0.5, 0.5])
    assert hopeless.one_round() == capped.one_round()

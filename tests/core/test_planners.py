import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.core.planners import NeededRounds, OversampledRounds, RoundView
from mtgrpo.errors import ConfigError


def view(
    number=0,
    weights=(0.5, 0.3, 0.2),
    quotas=(5, 3, 2),
    accepted=(0, 0, 0),
    rates=(1, 1, 1),
    batch_size=10,
    evidence=math.inf,
    room=0.0,
):
    return RoundView(
        number=number,
        batch_size=batch_size,
        weights=np.array(weights, dtype=float),
        quotas=None if quotas is None else np.array(quotas),
        accepted=np.array(accepted),
        acceptance_rates=np.array(rates, dtype=float),
        evidence=np.full(len(rates), evidence),
        room=np.full(len(rates), room),
    )


def plan(planner, round_view, seed=0):
    return planner.plan(round_view, np.random.default_rng(seed)).tolist()


def test_view_by_hand():
    some = view(accepted=(6, 1, 0))
    assert some.num_missing == 3
    assert some.deficits.tolist() == [0, 2, 2]
    blind = view(quotas=None, accepted=(6, 1, 0))
    assert blind.num_missing == 3
    assert blind.deficits.tolist() == [0, 0, 0]
    assert view(accepted=(9, 9, 0)).num_missing == 0


def test_needed_by_hand():
    # deficits (5, 3, 2) at a = (1, .5, .1): 5, 6 and 2 * min(10, 5); a task that is done is asked for nothing.
    assert plan(NeededRounds(), view(rates=(1, 0.5, 0.1))) == [5, 6, 10]
    assert plan(NeededRounds(max_inflation=20), view(accepted=(5, 0, 0), rates=(1, 0.5, 0.1))) == [
        0,
        6,
        20,
    ]
    assert plan(NeededRounds(max_inflation=1.0), view(rates=(1, 0.5, 0.0))) == [5, 3, 2]
    # To the nearest: 5 / .9 = 5.56, 3 / .9 = 3.33, 2 / .9 = 2.22.
    assert plan(NeededRounds(), view(rates=(0.9, 0.9, 0.9))) == [6, 3, 2]


def test_confidence_by_hand():
    # One standard deviation, a known: m a - sqrt(m a (1 - a)) = deficit. For 3 at a half, m = 9: 4.5 - 1.5.
    one = NormalDist().cdf(1.0)
    assert plan(NeededRounds(one), view(quotas=(0, 3, 0), rates=(1, 0.5, 1), room=100)) == [0, 9, 0]
    # Without room to bank what may be too much it is the mean need, with room for one group that of four.
    assert plan(NeededRounds(one), view(quotas=(0, 3, 0), rates=(1, 0.5, 1))) == [0, 6, 0]
    assert plan(NeededRounds(one), view(quotas=(0, 3, 0), rates=(1, 0.5, 1), room=1)) == [0, 8, 0]
    # After 3 groups' worth of evidence a quarter of the variance stays: .5 m - sqrt(.25 m (1 + (m - 1) / 4)) = 3.
    found = plan(
        NeededRounds(one), view(quotas=(0, 3, 0), rates=(1, 0.5, 1), room=100, evidence=3.0)
    )[1]
    assert 0.5 * found - math.sqrt(0.25 * found * (1 + (found - 1) / 4)) == pytest.approx(
        3, abs=0.15
    )


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("deficit", [1, 4, 20])
def test_the_stated_confidence_is_kept(rate, deficit):
    """The rate is drawn from the posterior, the groups from the rate: the deficit is filled about as often as said."""
    rng = np.random.default_rng(0)
    evidence = 60.0
    asked = plan(
        NeededRounds(0.9, 100.0),
        view(
            quotas=(0, deficit, 0),
            rates=(1, rate, 1),
            evidence=evidence,
            room=1e9,
            batch_size=deficit,
        ),
    )[1]
    drawn = rng.beta(rate * evidence, (1 - rate) * evidence, size=20_000)
    filled = np.mean(rng.binomial(asked, drawn) >= deficit)
    assert (
        0.78 <= filled <= 0.99
    )  # of few groups, the normal approximation and whole numbers leave that much


def test_needed_without_quotas():
    # 7 are missing; sum_k z_k a_k = .5 + .15 + .04 = .69 (a of at least 1 / 5): 10.1, so 11 in all.
    counts = plan(NeededRounds(), view(quotas=None, accepted=(3, 0, 0), rates=(1, 0.5, 0.1)))
    assert sum(counts) == 11
    # A third each at (.7, .5, .2): 32 / (1.4 / 3) = 68.6.
    even = view(quotas=None, weights=(1 / 3, 1 / 3, 1 / 3), rates=(0.7, 0.5, 0.2), batch_size=32)
    assert sum(plan(NeededRounds(), even)) == 69
    # Quotas that are met but sum to less than B (released): the rest comes from any task.
    assert sum(plan(NeededRounds(), view(quotas=(4, 2, 2), accepted=(4, 2, 2)))) == 2


def mean_plan(planner, round_view, draws=4000):
    rng = np.random.default_rng(1)
    return np.mean([planner.plan(round_view, rng) for _ in range(draws)], axis=0)


def test_oversampled_shares():
    # M_os B = 30. First round z m: (.5, .3, .2) * (1, 2, 5) = (.5, .6, 1) of 2.1.
    first = view(rates=(1, 0.5, 0.1), quotas=(8, 1, 1))  # the quotas drawn do not matter yet
    assert mean_plan(OversampledRounds(), first) == pytest.approx(
        np.array([0.5, 0.6, 1.0]) / 2.1 * 30, abs=0.3
    )
    # Later: deficits (0, 2, 2) * (1, 2, 5) = (0, 4, 10) of 14.
    later = view(number=1, accepted=(6, 1, 0), rates=(1, 0.5, 0.1))
    assert mean_plan(OversampledRounds(), later) == pytest.approx(
        np.array([0, 4, 10]) / 14 * 30, abs=0.3
    )
    # Inflation off: the deficits as they are.
    assert mean_plan(OversampledRounds(max_inflation=1), later) == pytest.approx(
        [0, 15, 15], abs=0.3
    )


def test_oversampled_same_until_full():
    planner = OversampledRounds(max_inflation=1, refill="same_until_full")
    short = view(number=1, accepted=(6, 1, 0))
    assert mean_plan(planner, short) == pytest.approx([15, 9, 6], abs=0.3)
    full = view(number=2, accepted=(9, 1, 0))
    assert mean_plan(planner, full) == pytest.approx([0, 15, 15], abs=0.3)


def test_oversampled_without_quotas_never_looks_at_deficits():
    for number in (0, 1, 5):
        blind = view(number=number, quotas=None, accepted=(3, 1, 0))
        assert mean_plan(OversampledRounds(), blind) == pytest.approx([15, 9, 6], abs=0.3)


PLANNERS = [
    NeededRounds(),
    NeededRounds(confidence=0.9, max_inflation=5),
    OversampledRounds(),
    OversampledRounds(oversampling=1, max_inflation=1),
    OversampledRounds(refill="same_until_full"),
]


@pytest.mark.parametrize("planner", PLANNERS)
@given(st.data())
def test_something_is_asked_while_something_is_missing(planner, data):
    size = data.draw(st.integers(1, 5))
    batch_size = data.draw(st.integers(1, 40))
    small = st.integers(0, batch_size)
    weights = np.array(data.draw(st.lists(st.floats(0.01, 1), min_size=size, max_size=size)))
    rates = data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    quotas = data.draw(st.one_of(st.none(), st.lists(small, min_size=size, max_size=size)))
    accepted = data.draw(st.lists(small, min_size=size, max_size=size))
    number = data.draw(st.integers(0, 5))
    round_view = view(number, weights / weights.sum(), quotas, accepted, rates, batch_size)
    counts = planner.plan(round_view, np.random.default_rng(0))
    assert counts.dtype == np.int64
    assert (counts >= 0).all()
    if round_view.num_missing or round_view.deficits.any():
        assert counts.sum() >= 1
        assert counts.sum() <= 40 * size * 30


@pytest.mark.parametrize(
    "make",
    [
        lambda: NeededRounds(confidence=0.4),
        lambda: NeededRounds(confidence=1.0),
        lambda: NeededRounds(max_inflation=math.nan),
        lambda: OversampledRounds(max_inflation=math.inf),
        lambda: OversampledRounds(refill="never"),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="Rounds: "):
        make()

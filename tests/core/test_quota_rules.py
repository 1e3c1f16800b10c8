import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtgrpo.core.quota_rules import GOLDEN_STEP, multinomial, released, systematic

weight_lists = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-9, 1.0)), min_size=1, max_size=30
).filter(lambda weights: sum(weights) > 0)
ALMOST_ONE = np.nextafter(1.0, 0.0)
offsets = st.one_of(
    st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 5e-324, 1e-16, 0.5, float(ALMOST_ONE)])
)


def test_systematic_by_hand():
    # B = 5, z = (.5, .3, .2): edges 2.5, 4, 5. Offset .25: floor(2.75, 4.25, 5.25) = 2, 4, 5 -> (2, 2, 1).
    # Offset .75: floor(3.25, 4.75, 5.75) = 3, 4, 5 -> (3, 1, 1).
    weights = np.array([0.5, 0.3, 0.2])
    assert systematic(weights, 5, 0.25).tolist() == [2, 2, 1]
    assert systematic(weights, 5, 0.75).tolist() == [3, 1, 1]
    assert systematic(10 * weights, 5, 0.75).tolist() == [3, 1, 1]  # any positive sum


def test_systematic_counts_sum_to_a_total_that_is_not_whole_on_average():
    weights, totals, sums = np.array([0.5, 0.3, 0.2]), set[int](), np.zeros(3)
    for step in range(1000):
        counts = systematic(weights, 5.3, (0.4 + step * GOLDEN_STEP) % 1)
        totals.add(int(counts.sum()))
        sums += counts
    assert totals == {5, 6}
    assert sums / 1000 == pytest.approx(5.3 * weights, abs=0.01)


@given(weight_lists, st.integers(1, 2000), offsets)
@example([1 / 3, 1 / 3, 1 / 3], 32, float(ALMOST_ONE))  # 32 + offset rounds to 33
@example([0.1, 0.2, 0.7 / 3, 0.3, 0.0], 32, 0.0)  # nothing for the trailing zero
def test_systematic_is_sum_exact_and_within_one(weights, batch_size, offset):
    z = np.array(weights)
    counts = systematic(z, batch_size, offset)
    assert counts.dtype == np.int64
    assert counts.sum() == batch_size
    assert (counts >= 0).all()
    assert (counts[z == 0] == 0).all()
    assert np.abs(counts - batch_size * z / z.sum()).max() <= 1 + 1e-9


@pytest.mark.parametrize(
    ("weights", "batch_size"), [((13, 5, 2), 7), ((1, 1, 1), 32), ((97, 0, 2, 1), 10)]
)
def test_systematic_is_unbiased_exactly(weights, batch_size):
    # With z = w / W the counts jump at multiples of 1 / W: W offsets in the middle between them see every case.
    z, total = np.array(weights, dtype=float), sum(weights)
    counts = sum(systematic(z, batch_size, (i + 0.5) / total) for i in range(total))
    assert counts.tolist() == [batch_size * w for w in weights]


def test_systematic_gives_whole_shares_exactly():
    for offset in np.linspace(0.001, 0.999, 50):
        assert systematic(np.array([0.5, 0.25, 0.25]), 32, float(offset)).tolist() == [16, 8, 8]


def test_more_tasks_than_groups():
    z = np.random.default_rng(0).dirichlet(np.ones(10_000))
    total = np.zeros(10_000)
    for step in range(500):
        counts = systematic(z, 64, (0.3 + step * GOLDEN_STEP) % 1.0)
        assert counts.sum() == 64
        assert counts.max() <= 1 + int(64 * z.max())
        total += counts
    assert np.abs(total / 500 - 64 * z).max() < 0.02
    assert systematic(np.ones(100_000), 1024, 0.5).sum() == 1024
    assert multinomial(z, 64, np.random.default_rng(0)).sum() == 64


def running_error(counts_of, z, batch_size, steps):
    total = np.zeros(len(z))
    for step in range(steps):
        total += counts_of(step)
    return float(np.abs(total / steps - batch_size * z).max())


@pytest.mark.parametrize("batch_size", [8, 32, 256])
def test_golden_offsets_converge_faster_than_multinomial(batch_size):
    rng = np.random.default_rng(5)
    for _ in range(5):
        z = rng.dirichlet(np.ones(7))
        start = rng.random()
        for steps in (10, 100, 1000):
            even = running_error(
                lambda t, z=z, s=start: systematic(z, batch_size, (s + t * GOLDEN_STEP) % 1.0),
                z,
                batch_size,
                steps,
            )
            drawn = running_error(
                lambda _, z=z: multinomial(z, batch_size, rng), z, batch_size, steps
            )
            assert even < drawn
            # Discrepancy of the golden sequence, with room: O(log t / t), not O(1 / sqrt t).
            assert even <= 2 * (1 + np.log(steps)) / steps


@given(weight_lists, st.integers(1, 500), st.integers(0, 2**32))
def test_multinomial_sums_to_the_batch(weights, batch_size, seed):
    z = np.array(weights)
    counts = multinomial(z, batch_size, np.random.default_rng(seed))
    assert counts.sum() == batch_size
    assert (counts[z == 0] == 0).all()


@pytest.mark.parametrize("rule", [multinomial, released])
def test_random_rules_are_unbiased(rule):
    z, batch_size, draws = np.array([0.6, 0.3, 0.1, 0.0]), 32, 20_000
    rng = np.random.default_rng(3)
    counts = np.array([rule(z, batch_size, rng) for _ in range(draws)])
    # released: rounding a third is as often up as down, up to a bias far below one draw's standard deviation.
    error = np.abs(counts.mean(axis=0) - batch_size * z)
    assert (
        error <= 5 * np.sqrt(batch_size * z * (1 - z) / draws) + (0.01 if rule is released else 0)
    ).all()
    assert counts[:, 3].sum() == 0
    # 3 B draws over three: the released rule has a third of the variance, plus the rounding's.
    variance = batch_size * z * (1 - z) / (3 if rule is released else 1)
    assert counts.var(axis=0)[:3] == pytest.approx(variance[:3], rel=0.1)


def test_released_quotas_may_miss_the_batch():
    rng = np.random.default_rng(0)
    sums = {int(released(np.array([0.5, 0.3, 0.2]), 32, rng).sum()) for _ in range(200)}
    assert sums == {31, 32, 33}

import json
import math

import numpy as np
import pytest

from mtgrpo.core.acceptance import CountedAcceptance, EmaAcceptance
from mtgrpo.errors import ConfigError


def observe(estimate, *rounds):
    for generated, accepted in rounds:
        estimate.observe(np.array(generated), np.array(accepted))
    return estimate.rates().tolist()


def bound(estimate, num_tasks=2):
    estimate.bind(num_tasks)
    return estimate


def test_counted_by_hand():
    estimate = bound(CountedAcceptance(decay=0.5, prior=1.0))
    assert estimate.rates().tolist() == [1, 1]
    # All tasks (2 + 1) / (8 + 1) = 1/3; their one family (2 + 1/3) / (8 + 1) = 7/27, which is all that is known of b;
    # a (2 + 7/27) / (8 + 1).
    assert observe(estimate, ([8, 0], [2, 0])) == pytest.approx([61 / 243, 7 / 27])
    # Another round of the same step counts like the first: (6, 12) of a, (0, 3) of b.
    # All 7/16, family (6 + 7/16) / 16 = .40234, a (6.40234) / 13, b .40234 / 4.
    assert observe(estimate, ([4, 3], [4, 0])) == pytest.approx([0.492488, 0.100586], abs=1e-6)
    assert estimate.evidence().tolist() == [13, 4]
    estimate.end_step()
    # In the next step a keeps half: (3 + 1, 6 + 2); b, without news, everything. All 5/12, family (4 + 5/12) / 12.
    assert observe(estimate, ([2, 0], [1, 0])) == pytest.approx(
        [(4 + 53 / 144) / 9, (53 / 144) / 4]
    )


def test_a_new_task_is_taken_for_one_like_its_family():
    estimate = CountedAcceptance()
    estimate.bind(5, [0, 0, 1, 1, 2])
    rates = observe(estimate, ([50, 0, 50, 0, 0], [5, 0, 45, 0, 0]))
    assert rates[1] == pytest.approx(0.1, abs=0.03)
    assert rates[3] == pytest.approx(0.9, abs=0.03)
    assert rates[4] == pytest.approx(0.5, abs=0.03)  # of a family nobody has seen: like all tasks


def test_ema_by_hand():
    # decay .9: rho = .1 * .75 = .075, then .9 * .075 + .1 * 0 = .0675; b only then: .1 * 1.
    estimate = bound(EmaAcceptance())
    assert estimate.rates().tolist() == [1, 1]
    assert observe(estimate, ([8, 0], [2, 0])) == pytest.approx([0.925, 1])
    assert observe(estimate, ([4, 3], [4, 0])) == pytest.approx([0.9325, 0.9])


def test_ema_per_step_by_hand():
    # rho stands still while a step's rounds come in; then (8, 4) generated and (2, 1) accepted are one observation.
    estimate = bound(EmaAcceptance(decay=0.5, per="step"))
    assert observe(estimate, ([6, 0], [2, 0]), ([2, 4], [0, 1])) == [1, 1]
    again = bound(EmaAcceptance(decay=0.5, per="step"))
    again.load_state_dict(json.loads(json.dumps(estimate.state_dict())))  # in the middle of a step
    for restored in (estimate, again):
        restored.end_step()
        assert restored.rates() == pytest.approx([1 - 0.5 * 0.75, 1 - 0.5 * 0.75])
        restored.end_step()  # nothing new
        assert restored.rates() == pytest.approx([0.625, 0.625])
    assert observe(estimate, ([4, 0], [4, 0])) == pytest.approx([0.625, 0.625])
    estimate.end_step()
    assert estimate.rates() == pytest.approx([1 - 0.5 * 0.375, 0.625])


@pytest.mark.parametrize("make", [CountedAcceptance, EmaAcceptance])
def test_converges_to_the_rate_and_stays_within_bounds(make):
    estimate, rng = bound(make(), 3), np.random.default_rng(0)
    truth, seen = np.array([0.0, 0.3, 1.0]), []
    for _ in range(400):
        generated = rng.integers(0, 40, size=3)
        estimate.observe(generated, rng.binomial(generated, truth))
        seen.append(estimate.rates())
        assert (seen[-1] >= 0).all()
        assert (seen[-1] <= 1).all()
    assert np.mean(seen[100:], axis=0) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("make", [CountedAcceptance, EmaAcceptance])
def test_state_through_json(make):
    first, second = bound(make()), bound(make())
    observe(first, ([8, 0], [2, 0]), ([3, 5], [1, 2]))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert observe(first, ([4, 1], [0, 1])) == observe(second, ([4, 1], [0, 1]))
    first.bind(3)
    assert first.rates().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: CountedAcceptance(decay=1.0),
        lambda: CountedAcceptance(decay=math.nan),
        lambda: CountedAcceptance(prior=0.0),
        lambda: CountedAcceptance(prior=math.nan),
        lambda: EmaAcceptance(1.0),
        lambda: EmaAcceptance(per="rounds"),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="Acceptance"):
        make()

import math

import numpy as np
import pytest

from mtgrpo.core.advantages import group_advantages, mean_abs_advantage


def test_by_hand():
    # Rewards 1, 0, 0, 0: mean .25, sample variance (.5625 + 3 * .0625) / 3 = .25, std .5; constant 1e-4.
    assert group_advantages([1, 0, 0, 0]) == pytest.approx(
        [0.75 / 0.5001] + [-0.25 / 0.5001] * 3, abs=1e-15
    )
    assert mean_abs_advantage([1, 0, 0, 0]) == pytest.approx(1.5 / 0.5001 / 4, abs=1e-15)


def test_against_numpy():
    rewards = np.random.default_rng(0).normal(size=72)
    expected = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
    assert group_advantages(rewards.tolist()) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("rewards", [[0.1] * 8, [0.0], [1.0, 1.0], [math.nan, 1.0], [math.nan] * 3])
def test_no_spread_no_advantage(rewards):
    assert group_advantages(rewards) == [0.0] * len(rewards)
    assert mean_abs_advantage(rewards) == 0


def test_unscorable_completions_take_no_part():
    with_nan = group_advantages([1, math.nan, 0, 0, 0])
    assert with_nan[1] == 0
    assert [with_nan[i] for i in (0, 2, 3, 4)] == group_advantages([1, 0, 0, 0])
    assert mean_abs_advantage([1, math.nan, 0, 0, 0]) == mean_abs_advantage([1, 0, 0, 0])

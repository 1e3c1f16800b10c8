import math

import numpy as np
import pytest

from mtgrpo.core.weightings.reward_estimate import TaskRewardEstimate
from mtgrpo.errors import ConfigError


def test_reward_estimate_by_hand():
    # start 0, ema .5: a sees .4 -> .2, then .6 -> .4; b is absent first, then sees 1 -> .5.
    estimate = TaskRewardEstimate(ema=0.5, start=0.0)
    estimate.reset(2)
    estimate.observe(np.array([0.4, math.nan]))
    assert estimate.values == pytest.approx([0.2, 0.0])
    estimate.observe(np.array([0.6, 1.0]))
    assert estimate.values == pytest.approx([0.4, 0.5])


def test_reward_estimate_starts_at_the_first_observation():
    # a: .4, then .75 * .4 + .25 * .8 = .5; b, first seen now, is .2; c was never seen: filled with the mean .35.
    estimate = TaskRewardEstimate(ema=0.75)
    estimate.reset(3)
    assert estimate.filled().tolist() == [0, 0, 0]
    estimate.observe(np.array([0.4, math.nan, math.nan]))
    estimate.observe(np.array([0.8, 0.2, math.nan]))
    assert estimate.values[:2] == pytest.approx([0.5, 0.2])
    assert estimate.filled() == pytest.approx([0.5, 0.2, 0.35])
    assert estimate.state_dict()["values"][2] is None


@pytest.mark.parametrize("ema", [1.0, -0.1, math.nan])
def test_reward_estimate_refuses_a_bad_ema(ema):
    with pytest.raises(ConfigError, match="reward_ema"):
        TaskRewardEstimate(ema)


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_reward_estimate_refuses_a_bad_start(start):
    with pytest.raises(ConfigError, match="reward_start"):
        TaskRewardEstimate(0.5, start)

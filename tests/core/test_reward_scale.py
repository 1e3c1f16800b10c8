"""Rewards without a right answer: the range of each task, stated or learnt."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mtgrpo.core.reward_scale import SAMPLE_SIZE, UNKNOWN, RewardScale
from mtgrpo.errors import ConfigError


def test_a_stated_range_is_taken_as_it_is_and_levels_stay_within_it():
    scale = RewardScale({"essay": (-2.0, -1.0)})
    scale.observe("essay", [5.0, 7.0])

    assert scale.reward_range("essay") == (-2.0, -1.0)
    assert [scale.level("essay", r) for r in (-2.0, -1.75, -1.0, 5.0, -9.0)] == [0, 0.25, 1, 1, 0]


def test_rewards_outside_a_stated_range_are_remarked_on_once_for_each_task():
    scale = RewardScale({"a": (0, 1), "b": (-2, -1)})
    scale.observe_step({"a": [0.0, 1.0 + 1e-12], "b": [-1.5], "c": [7.0]})
    assert scale.remarks == {}

    scale.observe_step({"a": [0.5, 1.2, 1.7, -0.3], "b": [-1.5]})
    assert list(scale.remarks) == ["a"]
    assert scale.remarks["a"].startswith(
        "earns rewards outside its reward_range [0, 1], such as 1.7:"
    )

    scale.observe_step({"a": [3.0], "b": [-2.5]})
    assert list(scale.remarks) == ["b"], "a has had its turn"
    assert "[-2, -1], such as -2.5" in scale.remarks["b"]

    scale.change_tasks(["b"], {"b": (-3, -1)})
    scale.change_tasks(["a", "b"], {"a": (0, 1), "b": (-3, -1)})
    scale.observe_step({"a": [1.7], "b": [-9.0]})
    assert list(scale.remarks) == ["a"], "a is a new task"


def test_nothing_seen_or_nothing_varied_is_unknown():
    scale = RewardScale()
    assert scale.level("new", 3.0) == UNKNOWN

    scale.observe("flat", [0.3] * 50 + [math.nan])
    assert scale.reward_range("flat") is None
    assert scale.level("flat", 0.3) == UNKNOWN


def test_a_learnt_range_leaves_out_outliers_but_not_what_is_rare_and_all_there_is():
    scale, rng = RewardScale(), np.random.default_rng(0)
    scale.observe("essay", [*rng.uniform(-2, -1, 400), 1e30, -1e30])

    low, high = scale.reward_range("essay")
    assert -2.0 <= low < -1.9
    assert -1.1 < high <= -1.0

    scale.observe("rare", [0.0] * 99 + [1.0])
    assert scale.reward_range("rare") == (0.0, 1.0)


def test_the_sample_stays_small_and_is_spread_over_the_whole_run():
    scale = RewardScale()
    for start in range(0, 100_000, 8):
        scale.observe("long", [float(start + i) for i in range(8)])

    kept = scale.state_dict()["long"]["values"]
    assert SAMPLE_SIZE <= len(kept) < 2 * SAMPLE_SIZE
    assert np.ptp(np.diff(kept)) == 0
    assert scale.level("long", 50_000.0) == pytest.approx(0.5, abs=0.01)


def test_a_restored_scale_goes_on_alike():
    rng = np.random.default_rng(1)
    rewards = rng.normal(size=(300, 8)).tolist()
    whole, first = RewardScale(), RewardScale()
    for group in rewards:
        whole.observe("t", group)
    for group in rewards[:130]:
        first.observe("t", group)

    second = RewardScale()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for group in rewards[130:]:
        second.observe("t", group)

    assert second.state_dict() == whole.state_dict()
    assert second.level("t", 0.2) == whole.level("t", 0.2)


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_range_that_is_none_is_refused(limits):
    with pytest.raises(ConfigError, match=r"task 't': reward_range=.*the lower one first"):
        RewardScale({"t": limits})

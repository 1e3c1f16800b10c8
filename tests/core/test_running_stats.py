import json

import pytest

from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.running_stats import DECAY, RunningStats
from mtgrpo.core.types import Draw


def step(task: str, *accuracies: float, draw: Draw | None = None) -> RoundStats:
    stats = RoundStats()
    for accuracy in accuracies:
        stats.add(task, accuracy + 0.1, accuracy, draw=draw)
    return stats


def test_every_group_weighs_the_same_by_hand():
    running = RunningStats()
    running.observe(step("a", 1.0))  # a lucky step, short
    running.observe(step("a", 0.0, 0.0, 0.0, 1.0))
    assert running.mean_accuracies()["a"] == pytest.approx((DECAY + 1) / (DECAY + 4))
    assert running.mean_rewards()["a"] == pytest.approx(0.1 + (DECAY + 1) / (DECAY + 4))

    # Steps without groups of a task leave it as it is.
    running.observe(step("b", 0.5))
    assert running.mean_accuracies() == pytest.approx({"a": (DECAY + 1) / (DECAY + 4), "b": 0.5})


def test_prompts_that_were_passed_over_count_with_what_is_expected_of_them():
    running, once = RunningStats(), RoundStats()
    draw = Draw(0, 0.5, 1.0, skipped_right=3)
    running.observe(step("a", 0.5, 1.0, draw=draw))
    for accuracy in (0.5, 1.0):
        once.add("a", accuracy + 0.1, accuracy, draw=draw)
    assert running.mean_accuracies() == once.mean_accuracies()


def test_graded_tasks_have_rewards_alone():
    running = RunningStats()
    running.observe(step("essay", float("nan")))
    graded = RoundStats()
    graded.add("essay", 0.7, float("nan"))
    running.observe(graded)
    running.observe(step("a", 0.5))
    assert running.graded() == ["essay"]
    assert running.mean_accuracies() == {"a": 0.5}
    assert running.mean_rewards()["essay"] == pytest.approx(0.7)


def test_state_through_json():
    first, second = RunningStats(), RunningStats()
    first.observe(step("a", 0.25, 0.5))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for running in (first, second):
        running.observe(step("a", 0.125))
    assert first.state_dict() == second.state_dict()

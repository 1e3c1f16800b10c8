"""Scores of graded tasks are put on one scale for all evaluations of a run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mtgrpo.runlog import RunLog, read_run

REWARDS = [0.5, 0.7, 0.9]


def evaluation(rewards: list[float], accuracy: float) -> dict:
    return {
        "accuracy": accuracy,
        "reward": sum(rewards) / len(rewards),
        "num_prompts": len(rewards),
        "std_error": 0.1,
        "prompt_accuracies": [accuracy] * len(rewards),
        "measure": "score",
        "prompt_rewards": rewards,
    }


def logged(path: Path, *evaluations: dict) -> list:
    with RunLog.create(path, ("essay",)) as log:
        for step, task in enumerate(evaluations):
            log.log_evaluation(step, 0, {"essay": task}, num_samples=1)
    return [entry.tasks["essay"] for entry in read_run(path).evaluations]


def test_equal_rewards_have_equal_scores_whatever_the_range_was_when_they_were_logged(tmp_path):
    before, after = logged(tmp_path / "run", evaluation(REWARDS, 0.51), evaluation(REWARDS, 0.95))

    assert before == after
    assert before.accuracy == pytest.approx(0.5, abs=0.02)
    assert before.std_error == pytest.approx(math.sqrt(0.5 / 2 / 3), abs=0.02)


def test_better_rewards_have_a_better_score(tmp_path):
    more = [0.7, 0.9, 0.9]
    before, after = logged(tmp_path / "run", evaluation(REWARDS, 0.9), evaluation(more, 0.1))
    assert after.accuracy > before.accuracy + 0.2


def test_a_stated_range_is_left_as_it_is(tmp_path):
    stated = {**evaluation(REWARDS, 0.78), "prompt_rewards": []}
    (kept,) = logged(tmp_path / "run", stated)
    assert kept.accuracy == 0.78

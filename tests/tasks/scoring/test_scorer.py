"""Policies: a failing reward ends the run or costs its group, and never becomes a reward."""

import logging
import math

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.tasks import Scoring, Task, TaskSet
from mtgrpo.tasks.scoring.scorer import Item, Scorer

from . import slow_rewards


def make(name: str, **scoring) -> Task:
    return Task(name, [{"prompt": "p"}], [], slow_rewards.naughty, 1.0, scoring=Scoring(**scoring))


def group(name: str, index: int, *completions: str, number: int | None = None) -> list[Item]:
    number = index if number is None else number
    return [Item(name, {"prompt": "p"}, index, text, number) for text in completions]


@pytest.mark.parametrize("num_processes", [0, 2])
def test_drop_leaves_out_exactly_the_groups_that_failed(num_processes, caplog):
    scorer = Scorer(TaskSet(make("a", num_processes=num_processes, on_error="drop"), make("b")))
    batch = [
        *group("a", 0, "x", "y"),
        *group("b", 0, "z"),
        *group("a", 1, "raise", "y"),
        *group("a", 2, "x", "x"),
    ]
    with caplog.at_level(logging.WARNING, "mtgrpo"):
        scores = scorer.score(batch)
    assert [s.reward for s in scores[:3] + scores[5:]] == [1.0] * 5
    assert all(math.isnan(value) for s in scores[3:5] for value in s)
    assert len(caplog.records) == 1
    assert "task 'a', prompt 1: reward function" in caplog.text
    assert "KeyError" in scorer.reason("a")
    scorer.close()


@pytest.mark.parametrize("num_processes", [0, 2])
def test_groups_of_one_row_are_scored_apart(num_processes):
    """A task of one row, or the end of one epoch beside the start of the next."""
    scorer = Scorer(TaskSet(make("a", num_processes=num_processes, on_error="drop")))
    batch = [
        *group("a", 0, "x", "y", number=0),
        *group("a", 0, "x", "raise", number=1),
        *group("a", 0, "x", "y", number=2),
    ]
    rewards = [score.reward for score in scorer.score(batch)]
    scorer.close()

    assert rewards[:2] + rewards[4:] == [1.0] * 4
    assert all(math.isnan(reward) for reward in rewards[2:4])


def test_a_group_is_its_number_wherever_its_completions_stand():
    scorer = Scorer(TaskSet(make("a", on_error="drop")))
    one, two = group("a", 0, "x", "raise", number=1), group("a", 0, "y", "z", number=2)
    rewards = [score.reward for score in scorer.score([one[0], two[0], one[1], two[1]])]
    assert [math.isnan(reward) for reward in rewards] == [True, False, True, False]


@pytest.mark.parametrize("act", ["NaN", "None", "too few", "exit"])
def test_whatever_is_no_reward_is_a_failure(act):
    scores = Scorer(TaskSet(make("a", on_error="drop"))).score(group("a", 0, act, "x"))
    assert all(math.isnan(s.reward) for s in scores)
    with pytest.raises(RewardError, match="task 'a', prompt"):
        Scorer(TaskSet(make("a"))).score(group("a", 0, act, "x"))


def test_only_the_first_failures_are_logged_in_full(caplog):
    scorer = Scorer(TaskSet(make("a", on_error="drop")))
    with caplog.at_level(logging.WARNING, "mtgrpo"):
        scorer.score([item for i in range(20) for item in group("a", i, "raise")])
    assert len(caplog.records) == 5
    assert "further ones are only counted" in caplog.records[-1].message


def test_times_are_measured_where_they_are_asked_for():
    scorer = Scorer(TaskSet(make("a"), make("b")))
    scorer.score(group("a", 0, "x"), timed=False)
    assert scorer.take_metrics() == {}
    scorer.score(group("a", 0, "nap"))
    scorer.score(group("a", 0, "x"))
    metrics = scorer.take_metrics()
    assert set(metrics) == {"task/a/reward_time_s", "task/a/reward_time_p95_s"}
    assert 0.3 <= metrics["task/a/reward_time_p95_s"] <= metrics["task/a/reward_time_s"]

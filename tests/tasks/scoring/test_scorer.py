"""Policies: a failing reward ends the run or costs its group, and never becomes a reward."""

import logging
import math

import pytest

from mtgrpo.errors import RewardError, TaskError
from mtgrpo.tasks import Scoring, Task, TaskSet, build_tasks
from mtgrpo.tasks.policy import WINDOW, DropLimit, parse_scoring
from mtgrpo.tasks.scoring.scorer import Item, Scorer

from . import slow_rewards


def make(name: str, **scoring) -> Task:
    return Task(name, [{"prompt": "p"}], [], slow_rewards.naughty, scoring=Scoring(**scoring))


def group(name: str, index: int, *completions: str) -> list[Item]:
    return [Item(name, {"prompt": "p"}, index, text) for text in completions]


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


def test_the_share_of_dropped_groups_is_limited_over_the_last_hundred():
    limit = DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.03), "b": Scoring()})
    limit.observe([("b", True)] * 50, str)  # its policy is not to drop: nothing to watch
    limit.observe(
        [("a", False)] * 500 + [("a", True)] * 3 + [("a", False)] * WINDOW + [("a", True)] * 3, str
    )
    saved = limit.state_dict()
    with pytest.raises(
        RewardError, match=r"task 'a': 4 of its last 100 .*allows 3 of 100.*last: why a"
    ):
        limit.observe([("a", True)], lambda name: f"why {name}")
    again = DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.03)})
    again.load_state_dict(saved)
    again.observe([("a", False)] * (WINDOW - 3) + [("a", True)], str)
    with pytest.raises(RewardError):
        again.observe([("a", True)] * 3, str)


def test_no_failure_is_allowed_at_rate_zero():
    with pytest.raises(RewardError, match="1 of its last 1 groups"):
        DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.0)}).observe([("a", True)], str)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_process": 2}, "unknown key 'num_process' .did you mean 'num_processes'"),
        ({"num_processes": -1}, "scoring.num_processes: -1"),
        ({"num_processes": 1.5}, "scoring.num_processes: 1.5"),
        ({"num_processes": True}, "scoring.num_processes: True"),
        ({"num_processes": 1, "timeout_s": 0}, "scoring.timeout_s: 0"),
        ({"num_processes": 1, "timeout_s": "10"}, "scoring.timeout_s: '10'"),
        ({"timeout_s": 10}, "timeout_s: 10 without processes.*num_processes to 1 or more"),
        ({"on_error": "ignore"}, "unknown policy 'ignore'; allowed: drop, fail"),
        ({"max_dropped_rate": 1.0}, r"max_dropped_rate: 1.0; a share in \[0, 1\)"),
        ({"max_dropped_rate": float("nan")}, "max_dropped_rate: nan"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(TaskError, match=f"tasks.0.: .*{message}"):
        parse_scoring(values, "tasks[0]")
    with pytest.raises(TaskError, match=message):
        build_tasks([{"tiny": "zebra", "level": "easy", "scoring": values}], "tasks")


def test_every_kind_of_entry_takes_it():
    task = build_tasks(
        [{"tiny": "zebra", "level": "easy", "scoring": {"on_error": "drop"}}], "tasks"
    )["zebra-easy"]
    assert task.scoring == Scoring(on_error="drop")
    with pytest.raises(TaskError, match="scoring is a dict; a Scoring is needed"):
        Task("a", [{"prompt": "p"}], [], slow_rewards.length, scoring={"num_processes": 1})  # type: ignore[arg-type]

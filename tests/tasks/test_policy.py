"""Scoring policies: what they may say, in Python and in a configuration."""

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import Scoring, Task, build_tasks
from mtgrpo.tasks.policy import parse_scoring


def zero(prompts, completions, **columns):
    return [0.0] * len(completions)


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
        Task("a", [{"prompt": "p"}], [], zero, scoring={"num_processes": 1})  # type: ignore[arg-type]

"""Settings of generation: what they may say, in Python and in a configuration."""

from typing import Any

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import Generation, Task, build_task, build_tasks

SPEC = {"tiny": "zebra", "level": "easy"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temprature": 0.5}, "unknown key 'temprature' .did you mean 'temperature'"),
        ({"temperature": 0}, "generation.temperature: 0; a finite number above 0"),
        ({"temperature": float("inf")}, "generation.temperature: inf"),
        ({"temperature": "0.7"}, "generation.temperature: '0.7'"),
        ({"temperature": True}, "generation.temperature: True"),
        ({"top_p": 1.5}, "generation.top_p: 1.5; a number above 0 and at most 1"),
        ({"top_p": 0}, "generation.top_p: 0"),
        ({"max_completion_length": 0}, "generation.max_completion_length: 0; a whole number"),
        ({"max_completion_length": 64.0}, "generation.max_completion_length: 64.0"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=rf"^tasks\[0\] \('zebra'\): .*{message}"):
        build_tasks([{**SPEC, "generation": values}], "tasks")


def test_a_task_of_any_kind_may_have_its_own() -> None:
    values = {"temperature": 0.7, "top_p": 0.95, "max_completion_length": 64}
    (task,) = build_task({**SPEC, "generation": values}, "tasks[0]")
    assert task.generation == Generation(0.7, 0.95, 64)
    assert task.generation.in_words() == "temperature 0.7, top-p 0.95, at most 64 tokens"


def test_without_any_a_task_is_sampled_as_the_run() -> None:
    (task,) = build_task(SPEC, "tasks[0]")
    assert not task.generation
    assert task.generation.in_words() == ""


def test_other_things_are_refused() -> None:
    (task,) = build_task(SPEC, "tasks[0]")
    settings: Any = {"temperature": 0.7}
    with pytest.raises(TaskError, match="generation is a dict; a Generation is needed"):
        Task("zebra", task.train, task.test, task.reward, generation=settings)

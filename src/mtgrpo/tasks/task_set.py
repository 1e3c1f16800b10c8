"""Several tasks that are trained together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, final

from mtgrpo.errors import TaskError, unknown
from mtgrpo.tasks.scores import Row
from mtgrpo.tasks.task import Task


@final
class TaskSet:
    """Tasks with unique names, in a fixed order.

    ``TaskSet(a, b)`` has ``names``, a length, iteration over the tasks, and ``["name"]``.

    Raises:
        TaskError: there is no task, something that is no task, or a name that is there twice.
    """

    __slots__ = ("_tasks",)

    def __init__(self, *tasks: Task) -> None:
        if not tasks:
            raise TaskError("TaskSet: no task; give at least one")

        self._tasks: dict[str, Task] = {}
        for task in tasks:
            if type(task) is not Task:
                hint = "; unpack a list: TaskSet(*tasks)" if type(task) in (list, tuple) else ""
                raise TaskError(f"TaskSet: found a {type(task).__name__}; a Task is needed{hint}")
            if task.name in self._tasks:
                raise TaskError(
                    f"TaskSet: two tasks are called {task.name!r}; names must be unique; "
                    "give one of them another name="
                )
            self._tasks[task.name] = task

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __getitem__(self, name: str) -> Task:
        if name not in self._tasks:
            raise TaskError(unknown("TaskSet", "task", name, self._tasks))
        return self._tasks[name]

    def __repr__(self) -> str:
        return f"TaskSet({', '.join(map(repr, self))})"

    @property
    def reward_ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest reward of the graded tasks that state them."""
        ranges = {task.name: task.reward_range for task in self}
        return {name: limits for name, limits in ranges.items() if limits is not None}

    def check_disjoint(self) -> None:
        """Check that no prompt to train on is a prompt to test on, of any task.

        Only rows that lie in memory are compared. Generated rows are disjoint by construction
        (`mtgrpo.tasks.sources.reasoning_gym`), and generating them all here could take hours.

        Raises:
            TaskError: naming the prompt, the tasks and the rows.
        """
        tested: dict[str, tuple[str, int]] = {}
        for task in self:
            for i, row in _in_memory(task.test):
                tested.setdefault(prompt_key(row["prompt"]), (task.name, i))

        for task in self:
            for i, row in _in_memory(task.train):
                place = tested.get(prompt_key(row["prompt"]))
                if place is None:
                    continue

                name, j = place
                raise TaskError(
                    f"task {task.name!r}, train row {i}: the same prompt is test row {j} of task "
                    f"{name!r}: {_short(row['prompt'])}; a test prompt must not be trained on; "
                    "take it out of one of them"
                )


def prompt_key(prompt: Any) -> str:
    """A text that is equal for equal prompts; a lone user message equals its content."""
    if isinstance(prompt, str):
        return prompt

    messages = cast("Sequence[Mapping[str, Any]]", prompt)
    if len(messages) == 1 and messages[0].get("role") == "user":
        content = messages[0].get("content")
        if isinstance(content, str):
            return content
    return json.dumps(prompt, sort_keys=True, default=str)


def _in_memory(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    return enumerate(rows) if isinstance(rows, (list, tuple)) else iter(())


def _short(prompt: Any, max_length: int = 80) -> str:
    text = " ".join(prompt_key(prompt).split())
    if len(text) > max_length:
        text = text[:max_length] + "..."
    return repr(text)

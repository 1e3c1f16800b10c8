"""Several tasks that are trained together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, final

from mtgrpo.errors import TaskError, unknown
from mtgrpo.tasks.scores import Row
from mtgrpo.tasks.sources.by_task import RewardsByTask, tasks_by_name
from mtgrpo.tasks.sources.dataset import rows_by_task
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
    def trained(self) -> tuple[str, ...]:
        """Names of the tasks with rows to train on; all of them when none has, for evaluation."""
        return tuple(task.name for task in self if len(task.train)) or self.names

    def present(self, step: int) -> tuple[str, ...]:
        """Names of the tasks to train on when so many steps of a run are done."""
        names: list[str] = []
        for name in self.trained:
            task = self[name]
            if task.from_step <= step and (task.until_step is None or step < task.until_step):
                names.append(name)
        return tuple(names)

    def check_present(self, num_steps: int | None = None) -> None:
        """Check that there is a task to train on in every step of a run.

        Args:
            num_steps: Steps of the run; None: it may go on for ever.

        Raises:
            TaskError: there is none from some step on.
        """
        ends = [self[name].until_step for name in self.trained]
        for step in sorted({0, *(end for end in ends if end is not None)}):
            if (num_steps is None or step < num_steps) and not self.present(step):
                raise TaskError(
                    f"tasks: none is trained on in step {step + 1}; give one a from_step of at "
                    f"most {step}, or a later until_step"
                )

    @property
    def families(self) -> dict[str, str]:
        """The family of each task to train on that has one."""
        pairs = ((name, self[name].family) for name in self.trained)
        return {name: family for name, family in pairs if family}

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        rewards: Any,
        column: str = "task",
        eval_dataset: Any = None,
        reward_weights: Sequence[float] | None = None,
        accuracy: Any = None,
        correct_at: Any = None,
        reward_range: Any = None,
    ) -> TaskSet:
        """The tasks of a dataset with a column of task names, or of a mapping with one for each.

        Args:
            dataset: A dataset of the package ``datasets``, a list of rows, or a mapping from task
                to either.
            rewards: A reward function or a list of them, for all tasks or as a mapping by task.
            column: Names the task of each row; without it all rows are one task, "default".
            eval_dataset: Rows to test on, in the same form.
            reward_weights: One for each function of a list; 1 by default.
            accuracy: The name of a reward function whose values are accuracies, or a function of a
                completion's rewards by name; for all tasks or by task. With one function alone, a
                `Score` says it as well.
            correct_at: A completion is right from this value on, of `accuracy` or else of its
                reward; for all tasks or by task.
            reward_range: As `Task`; for all tasks or by task.

        Raises:
            TaskError: A row without a task, a task without a reward, or a name that is no task's.
        """
        where = "TaskSet.from_dataset"
        train = rows_by_task(dataset, column, f"{where}: dataset")
        test: dict[str, Sequence[Row]] = {}
        if eval_dataset is not None:
            test = rows_by_task(eval_dataset, column, f"{where}: eval_dataset")

        said = RewardsByTask(rewards, reward_weights, accuracy, correct_at, reward_range)
        return cls(*tasks_by_name(train, test, said, where))

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

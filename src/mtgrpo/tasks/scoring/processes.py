"""Rewards in processes of their own: several at a time, and stopped when they take too long.

A process gets its reward by where it is defined: a function at the top of a module or of a ``.py``
file, as it is or wrapped in `each`, or whatever a configuration entry makes. Rows must be what JSON
can hold. `mtgrpo.tasks.children.child` says what kind of process it is.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast, final

from mtgrpo.errors import RewardError, TaskError
from mtgrpo.tasks.children.channel import frame
from mtgrpo.tasks.children.child import wait
from mtgrpo.tasks.scores import Completion, Row
from mtgrpo.tasks.scoring.recipe import reward_recipe
from mtgrpo.tasks.scoring.reward_process import Outcome, RewardProcess
from mtgrpo.tasks.task import Task

MAX_TRIES = 3
"""Number of processes that may end before they take up a call, until the call counts as failed."""


class Call(NamedTuple):
    """One group to score.

    Attributes:
        task: Name of its task.
        row: Its row.
        completions: Its completions.
        row_index: The number that names the row in messages.
    """

    task: str
    row: Row
    completions: Sequence[Completion]
    row_index: int


@final
class RewardProcesses:
    """The processes of several tasks, started when there is work. They end with this object.

    Args:
        tasks: Tasks whose ``scoring.num_processes`` is above 0.

    Raises:
        TaskError: no other process can get the reward of a task, or this system has no such
            processes.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = {task.name: task for task in tasks}
        if self._tasks and os.name != "posix":
            raise TaskError(
                "scoring.num_processes: reward processes need a POSIX system; leave it out here"
            )

        self._hello = {name: _frame_hello(task) for name, task in self._tasks.items()}
        self._idle: dict[str, list[RewardProcess]] = {name: [] for name in self._tasks}
        self._busy: list[RewardProcess] = []

    def __repr__(self) -> str:
        counts = {name: task.scoring.num_processes for name, task in self._tasks.items()}
        return f"RewardProcesses({counts})"

    def run(self, calls: Sequence[Call]) -> list[Outcome]:
        """Score groups, those of a task in its processes.

        Returns:
            One outcome per call, in order.

        Raises:
            TaskError: JSON cannot hold a row, or a reward cannot be imported.
            MissingExtra: a reward needs a package that is not installed.
        """
        waiting: dict[str, deque[int]] = {}
        for i, call in enumerate(calls):
            waiting.setdefault(call.task, deque()).append(i)

        outcomes: dict[int, Outcome] = {}
        tries = Counter[int]()
        try:
            while len(outcomes) < len(calls):
                self._assign(calls, waiting)
                self._wait()

                for i, outcome in self._take_outcomes():
                    tries[i] += 1
                    if outcome.is_lost and tries[i] < MAX_TRIES:
                        waiting[calls[i].task].appendleft(i)
                    else:
                        outcomes[i] = outcome
        finally:
            # Something was raised: nobody waits for the others any more.
            for process in self._busy:
                process.child.kill()
            self._busy.clear()

        return [outcomes[i] for i in range(len(calls))]

    def close(self) -> None:
        """End all processes; `run` starts new ones."""
        for process in (*self._busy, *(p for idle in self._idle.values() for p in idle)):
            process.child.kill()

        self._busy.clear()
        for idle in self._idle.values():
            idle.clear()

    def _assign(self, calls: Sequence[Call], waiting: Mapping[str, deque[int]]) -> None:
        """Give calls to processes that are free or may be started."""
        for name, queue in waiting.items():
            while queue and (process := self._free_process(name)) is not None:
                i = queue.popleft()
                process.assign(i, _frame_call(calls[i]))
                self._busy.append(process)

    def _free_process(self, name: str) -> RewardProcess | None:
        while self._idle[name]:
            process = self._idle[name].pop()
            if process.child.alive:
                return process
            process.child.kill()  # ended meanwhile, by the system's memory killer, say

        scoring = self._tasks[name].scoring
        num_busy = sum(process.task == name for process in self._busy)
        if num_busy < scoring.num_processes:
            return RewardProcess(name, self._hello[name], scoring.timeout_s)
        return None

    def _wait(self) -> None:
        """Until a process has something to say, can be written to, has ended, or is out of time."""
        first = min(process.deadline for process in self._busy)
        timeout_s = None if first == float("inf") else max(0.0, first - time.monotonic())
        wait([process.child for process in self._busy], timeout_s)

    def _take_outcomes(self) -> list[tuple[int, Outcome]]:
        """The outcomes that are there; processes that can go on are free again."""
        taken: list[tuple[int, Outcome]] = []
        for process in list(self._busy):
            outcome = process.outcome()
            if outcome is None:
                continue

            self._busy.remove(process)
            taken.append((process.call, outcome))
            if process.child.alive:
                self._idle[process.task].append(process)
        return taken


def failure(call: Call, outcome: Outcome) -> RewardError:
    """The error of a call that failed; names task and prompt."""
    text = outcome.error
    if not text.startswith("task "):
        text = f"task {call.task!r}, prompt {call.row_index}: {text}"
    return RewardError(text)


def _frame_hello(task: Task) -> bytes:
    recipe = reward_recipe(task)
    return frame({"name": task.name, "recipe": recipe, "correct_at": task.correct_at})


def _frame_call(call: Call) -> bytes:
    message = {"row": call.row, "completions": list(call.completions), "index": call.row_index}
    try:
        _check_keys(message)
        return frame(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise TaskError(
            f"task {call.task!r}, prompt {call.row_index}: the row cannot be sent to a reward "
            f"process ({error}); keep what JSON can hold in rows, or score in the training process "
            "(scoring.num_processes: 0)"
        ) from error


def _check_keys(value: Any) -> None:
    """Refuse what JSON would change in silence: a reward would not find the key 1 under "1"."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
            _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in cast("Sequence[Any]", value):
            _check_keys(item)

"""Scoring batches of several tasks: here or in other processes, under each task's policy, timed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import NamedTuple, final

from mtgrpo.errors import RewardError
from mtgrpo.tasks.scores import Completion, Row, Score
from mtgrpo.tasks.scoring.processes import Call, RewardProcesses, failure
from mtgrpo.tasks.task_set import TaskSet

logger = logging.getLogger("mtgrpo")

UNSCORED = Score(math.nan, math.nan)
"""What the completions of a dropped group get: no reward."""

_MAX_LOGGED = 5  # failures per task that are logged in full; all are counted


class Item(NamedTuple):
    """One completion to score.

    Attributes:
        task: Name of its task.
        row: Its row.
        row_index: The number that names the row in messages.
        completion: What the model wrote.
        group: Number of its group, unique among the groups of a task in a call. Two groups may
            have the same row.
    """

    task: str
    row: Row
    row_index: int
    completion: Completion
    group: int


@final
class Scorer:
    """Scores completions by their tasks' rewards.

    Args:
        tasks: Their `Task.scoring` says how.

    Raises:
        TaskError: a task asks for processes, but no other process can get its reward.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self._tasks = tasks
        self._processes = RewardProcesses(task for task in tasks if task.scoring.num_processes)
        self._seconds: dict[str, list[float]] = {}
        self._reasons: dict[str, str] = {}
        self._num_failed: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Scorer({', '.join(map(repr, self._tasks.names))})"

    def change_tasks(self, tasks: TaskSet) -> None:
        """Score completions of these tasks from now on."""
        processes = RewardProcesses(task for task in tasks if task.scoring.num_processes)
        self._processes.close()
        self._tasks, self._processes = tasks, processes

    def score(self, items: Sequence[Item], *, timed: bool = True) -> list[Score]:
        """Score completions.

        Args:
            items: Completions of any tasks, in any order.
            timed: Whether the time goes into `take_metrics`.

        Returns:
            One `Score` per item. Both numbers are NaN for a group that could not be scored and
            whose task says ``"drop"``.

        Raises:
            RewardError: a reward failed and its task says ``"fail"``; names task and prompt.
            TaskError: a row cannot be used or sent.
        """
        scores: list[Score] = [UNSCORED] * len(items)
        seconds: dict[str, list[float]] = {}
        calls: list[Call] = []
        places: list[list[int]] = []

        for name, groups in _groups_by_task(items).items():
            seconds[name] = []

            if self._tasks[name].scoring.num_processes:
                calls += [_call([items[i] for i in group]) for group in groups]
                places += groups
                continue

            start = time.perf_counter()
            self._score_here(name, items, groups, scores)
            seconds[name].append(time.perf_counter() - start)

        outcomes = self._processes.run(calls) if calls else []
        for call, group, outcome in zip(calls, places, outcomes, strict=True):
            seconds[call.task].append(outcome.seconds)

            if outcome.scores is None:
                self._failed(call.task, failure(call, outcome))
                continue
            for i, score in zip(group, outcome.scores, strict=True):
                scores[i] = score

        if timed:
            for name, values in seconds.items():
                self._seconds.setdefault(name, []).extend(values)
        return scores

    def _score_here(
        self, name: str, items: Sequence[Item], groups: Sequence[list[int]], scores: list[Score]
    ) -> None:
        """Score a task's groups in this process, all in one call, into their places in `scores`."""
        task = self._tasks[name]

        def score(places: Sequence[int]) -> None:
            chosen = [items[i] for i in places]
            values = task.score(
                [item.row for item in chosen],
                [item.completion for item in chosen],
                [item.row_index for item in chosen],
            )
            for i, value in zip(places, values, strict=True):
                scores[i] = value

        try:
            score(sorted(i for group in groups for i in group))
            return
        except RewardError:
            if task.scoring.on_error == "fail":
                raise

        # Again, group by group, so that only the groups that fail are left out.
        for group in groups:
            try:
                score(group)
            except RewardError as error:
                self._failed(name, error)

    def _failed(self, name: str, error: RewardError) -> None:
        if self._tasks[name].scoring.on_error == "fail":
            raise error

        self._reasons[name] = str(error)
        count = self._num_failed[name] = self._num_failed.get(name, 0) + 1
        if count > _MAX_LOGGED:
            return

        more = ""
        if count == _MAX_LOGGED:
            more = "; further ones are only counted, in dropped/unscorable"
        logger.warning("%s; the group is left out%s", error, more)

    def reason(self, name: str) -> str:
        """What went wrong last with a task's reward in this process."""
        return self._reasons.get(name, "see what the other processes say")

    def take_metrics(self) -> dict[str, float]:
        """Seconds in each task's reward since the last time.

        The total, and the 95th percentile of the calls.
        """
        metrics: dict[str, float] = {}
        for name, values in self._seconds.items():
            values.sort()
            metrics[f"task/{name}/reward_time_s"] = math.fsum(values)
            metrics[f"task/{name}/reward_time_p95_s"] = values[math.ceil(0.95 * len(values)) - 1]

        self._seconds = {}
        return metrics

    def close(self) -> None:
        """End the processes; scoring starts new ones."""
        self._processes.close()


def _groups_by_task(items: Sequence[Item]) -> dict[str, list[list[int]]]:
    """For each task the places of its groups' items, both in the order they come in."""
    groups: dict[str, dict[int, list[int]]] = {}
    for i, item in enumerate(items):
        groups.setdefault(item.task, {}).setdefault(item.group, []).append(i)
    return {name: list(places.values()) for name, places in groups.items()}


def _call(group: Sequence[Item]) -> Call:
    first = group[0]
    return Call(first.task, first.row, [item.completion for item in group], first.row_index)

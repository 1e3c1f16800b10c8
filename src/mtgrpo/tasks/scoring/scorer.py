"""Scoring batches of several tasks: in this process or in others, under each task's policy, with the time it took."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, final

from mtgrpo.errors import RewardError
from mtgrpo.tasks.scores import Completion, Row, Score
from mtgrpo.tasks.scoring.processes import Call, RewardProcesses, failure
from mtgrpo.tasks.task_set import TaskSet

logger = logging.getLogger("mtgrpo")

UNSCORED = Score(math.nan, math.nan)
"""What the completions of a dropped group get: no reward."""
_LOGGED = 5  # failures per task that are logged in full; all are counted


class Item(NamedTuple):
    """One completion to score.

    Attributes:
        task: Name of its task.
        row: Its row.
        row_index: The number of the row; neighbours with one number and task are a group.
        completion: What the model wrote.
    """

    task: str
    row: Row
    row_index: int
    completion: Completion


@final
class Scorer:
    """Scores completions by their tasks' rewards.

    Args:
        tasks: Their `Task.scoring` says how.

    Raises:
        TaskError: the reward of a task that asks for processes cannot be had in another process.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self._tasks = tasks
        self._processes = RewardProcesses(task for task in tasks if task.scoring.num_processes)
        self._seconds: dict[str, list[float]] = {}
        self._reasons: dict[str, str] = {}
        self._num_failed: dict[str, int] = {}

    def score(self, items: Sequence[Item], *, timed: bool = True) -> list[Score]:
        """Score completions; groups must be together.

        Args:
            items: Completions of any tasks.
            timed: Whether the time goes into `take_metrics`.

        Returns:
            One `Score` per item; NaN and NaN for a group that could not be scored and whose task says ``"drop"``.

        Raises:
            RewardError: a reward failed and its task says ``"fail"``; names task and prompt.
            TaskError: a row cannot be used or sent.
        """
        places: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            places.setdefault(item.task, []).append(i)
        scores: list[Score] = [UNSCORED] * len(items)
        seconds: dict[str, list[float]] = {}
        apart: list[tuple[Call, list[int]]] = []
        for name, where in places.items():
            seconds[name] = []
            if self._tasks[name].scoring.num_processes:
                apart += _groups(items, where)
                continue
            start = time.perf_counter()
            found = self._score_here(items, name, where)
            seconds[name].append(time.perf_counter() - start)
            for i, score in zip(where, found, strict=True):
                scores[i] = score
        outcomes = self._processes.run([call for call, _ in apart]) if apart else []
        for (call, where), outcome in zip(apart, outcomes, strict=True):
            seconds[call.task].append(outcome.seconds)
            if outcome.scores is None:
                self._failed(call.task, failure(call, outcome))
                continue
            for i, score in zip(where, outcome.scores, strict=True):
                scores[i] = score
        if timed:
            for name, values in seconds.items():
                self._seconds.setdefault(name, []).extend(values)
        return scores

    def _score_here(self, items: Sequence[Item], name: str, where: Sequence[int]) -> list[Score]:
        task = self._tasks[name]

        def scores_of(places: Sequence[int]) -> list[Score]:
            chosen = [items[i] for i in places]
            return task.score(
                [c.row for c in chosen],
                [c.completion for c in chosen],
                [c.row_index for c in chosen],
            )

        try:
            return scores_of(where)
        except RewardError as error:
            if task.scoring.on_error == "fail":
                raise error
        found: dict[int, Score] = {}
        for _, group in _groups(
            items, where
        ):  # again, group by group: only those that fail are left out
            try:
                scores = scores_of(group)
            except RewardError as error:
                self._failed(name, error)
                scores = [UNSCORED] * len(group)
            found.update(zip(group, scores, strict=True))
        return [found[i] for i in where]

    def _failed(self, name: str, error: RewardError) -> None:
        if self._tasks[name].scoring.on_error == "fail":
            raise error
        self._reasons[name] = str(error)
        count = self._num_failed[name] = self._num_failed.get(name, 0) + 1
        if count <= _LOGGED:
            more = (
                "; further ones are only counted, in dropped/unscorable" if count == _LOGGED else ""
            )
            logger.warning("%s; the group is left out%s", error, more)

    def reason(self, name: str) -> str:
        """What went wrong last with a task's reward in this process."""
        return self._reasons.get(name, "see what the other processes say")

    def take_metrics(self) -> dict[str, float]:
        """Seconds in each task's reward since the last time: in all, and the 95th percentile of the calls."""
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


def _groups(items: Sequence[Item], where: Sequence[int]) -> list[tuple[Call, list[int]]]:
    """The groups among a task's items: neighbours of one row."""
    found: list[tuple[Call, list[int]]] = []
    for index, group in groupby(where, key=lambda i: items[i].row_index):
        members = list(group)
        first = items[members[0]]
        found.append(
            (Call(first.task, first.row, [items[i].completion for i in members], index), members)
        )
    return found

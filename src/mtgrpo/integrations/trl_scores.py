"""Rewards of mixed batches: each completion is scored by its own task, once, for both reward columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.errors import StateError
from mtgrpo.integrations.trl_rollouts import ROW_KEY, TASK_KEY
from mtgrpo.tasks.scores import Completion, Score
from mtgrpo.tasks.task_set import TaskSet


class TaskScores:
    """TRL's two reward functions, `reward` and `accuracy`, over scores that were worked out beforehand.

    TRL hands a reward function columns by the names it finds in a batch's first row, which cannot work when tasks
    have different columns. So the rows are scored here, and TRL gets the numbers.

    Args:
        tasks: Where the rows come from.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks
        self._names: list[str] = []
        self._scores: list[Score] = []

    def compute(
        self, inputs: Sequence[Mapping[str, Any]], completions: Sequence[Completion], environments: Sequence[Any] | None
    ) -> None:
        """Score a batch.

        Raises:
            RewardError: A reward raised or returned no finite number; names task and row.
        """
        by_task: dict[str, list[int]] = defaultdict(list)
        for i, row in enumerate(inputs):
            by_task[row[TASK_KEY]].append(i)
        scores: dict[int, Score] = {}
        for name, places in by_task.items():
            rows = [{k: v for k, v in inputs[i].items() if k not in (TASK_KEY, ROW_KEY)} for i in places]
            if environments is not None:  # the column that TRL's own reward functions get
                rows = [{**row, "environments": environments[i]} for row, i in zip(rows, places, strict=True)]
            found = self.tasks[name].score(rows, [completions[i] for i in places], [inputs[i][ROW_KEY] for i in places])
            scores.update(zip(places, found, strict=True))
        self._names = [row[TASK_KEY] for row in inputs]
        self._scores = [scores[i] for i in range(len(inputs))]

    def reward(self, prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any) -> list[float]:
        """The reward column: trained on."""
        if "log_extra" in columns:
            columns["log_extra"]("task", self._names)
        return [score.reward for score in self._of(completions)]

    def accuracy(self, prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any) -> list[float]:
        """The accuracy column: reported and filtered on, weight 0."""
        return [score.accuracy for score in self._of(completions)]

    def _of(self, completions: Sequence[Completion]) -> list[Score]:
        if len(completions) != len(self._scores):
            raise StateError(
                f"rewards: {len(completions)} completions, but {len(self._scores)} were scored; "
                "these functions only work inside MultiTaskGRPOTrainer"
            )
        return self._scores

"""Rewards of mixed batches: each completion is scored by its own task, once, for both columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from mtgrpo.errors import StateError, counted
from mtgrpo.integrations.trl.reward_columns import weighted_sum
from mtgrpo.integrations.trl.rollouts import ROW_KEY, TASK_KEY, number_of, task_of
from mtgrpo.tasks.scores import Completion, Score
from mtgrpo.tasks.scoring.scorer import Item, Scorer
from mtgrpo.tasks.task_set import TaskSet


class TaskScores:
    """TRL's two reward functions, `reward` and `accuracy`, over scores worked out beforehand.

    TRL hands a reward function columns by the names it finds in a batch's first row, which cannot
    work when tasks have different columns. So the rows are scored here, and TRL gets the numbers.

    Args:
        tasks: Where the rows come from.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self.scorer = Scorer(tasks)
        self.functions: list[Any] = [self.reward, self.accuracy]
        self._names: list[str] = []
        self._scores: list[Score] = []
        self._weights = torch.tensor([1.0, 0.0])

    def bind(self, names: Sequence[str], weights: torch.Tensor) -> None:
        """Take TRL's weights of the columns: ours, and those of environments with a reward."""
        weights[1] = 0.0  # accuracy is measured, not trained on
        self._weights = weights

    def measure(self, rewards: torch.Tensor, tasks: Sequence[str]) -> torch.Tensor:
        """Reward and accuracy, shape (rows, 2), of TRL's table, shape (rows, columns)."""
        return torch.stack([weighted_sum(rewards, self._weights), rewards[:, 1]], 1)

    def rows_for_trl(
        self, trainer: Any, inputs: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
    ) -> list[dict[str, Any]]:
        """Score a batch of a trainer's process.

        Returns:
            The rows for TRL, which reads the columns' names from the first one; those of tasks
            differ.

        Raises:
            RewardError: As `compute`.
        """
        collects = trainer.replay.collects
        # Parts of groups are smaller than whole ones: the replay knows what is rolled out now.
        size = trainer.replay.group_size if collects else trainer.schedule.eval_group_size

        self.compute(
            inputs,
            completions,
            trainer.environments,
            group_size=size,
            first=trainer.accelerator.process_index * len(inputs),
            timed=collects,
        )
        return [{"prompt": row.get("prompt")} for row in inputs]

    def compute(
        self,
        inputs: Sequence[Mapping[str, Any]],
        completions: Sequence[Completion],
        environments: Sequence[Any] | None,
        *,
        group_size: int,
        first: int = 0,
        timed: bool,
    ) -> None:
        """Score a batch.

        Args:
            inputs: The row of each completion, as it travels through TRL; groups one after the
                other.
            completions: What the model wrote.
            environments: The environment of each completion, if there are any.
            group_size: Completions of one prompt.
            first: Place of the first completion among those of all processes: a process may begin
                within a group.
            timed: Whether this counts for the step's reward times.

        Raises:
            RewardError: A reward failed, under a policy that does not drop its group; names task
                and row.
        """
        items: list[Item] = []
        for i, (row, completion) in enumerate(zip(inputs, completions, strict=True)):
            columns = {k: v for k, v in row.items() if k not in (TASK_KEY, ROW_KEY)}

            if environments is not None:  # the column that TRL's own reward functions get
                columns["environments"] = environments[i]

            group = (first + i) // group_size
            items.append(Item(task_of(row), columns, number_of(row), completion, group))
        self._names = [item.task for item in items]
        self._scores = self.scorer.score(items, timed=timed)

    def watched(self, trainer: Any, rows: Sequence[Any]) -> AbstractContextManager[None]:
        """While TRL calls its functions: those here say themselves what is wrong."""
        return nullcontext()

    def marked(self, rewards: torch.Tensor) -> torch.Tensor:
        """TRL's table, shape (rows, columns), with NaN where a completion could not be scored."""
        return rewards.masked_fill(rewards[:, :1].isnan(), math.nan)  # the first is the reward

    def reward(
        self, prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any
    ) -> list[float]:
        """The reward column: trained on. NaN where the group could not be scored."""
        if "log_extra" in columns:
            columns["log_extra"]("task", self._names)
        return [score.reward for score in self._of(completions)]

    def accuracy(
        self, prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any
    ) -> list[float | None]:
        """The accuracy column: reported and filtered on, weight 0. None for graded tasks."""
        # 0 where nothing could be scored, or TRL prints the whole completion; `marked`
        # puts it right.
        return [
            0.0 if math.isnan(score.reward) else score.accuracy for score in self._of(completions)
        ]

    def _of(self, completions: Sequence[Completion]) -> list[Score]:
        if len(completions) != len(self._scores):
            raise StateError(
                f"rewards: {counted(len(completions), 'completion')}, scored: {len(self._scores)}; "
                "these functions only work inside MultiTaskGRPOTrainer"
            )
        return self._scores

"""Evaluation per task through TRL's own evaluation loop: rows, order, randomness and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import gather_object

from mtgrpo.core.reward_scale import RewardScale
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.eval_rows import TestRows
from mtgrpo.integrations.trl.randomness import separate_randomness
from mtgrpo.integrations.trl.results import EvaluationTable, TaskResult, result_metrics
from mtgrpo.integrations.trl.rollouts import (
    DatasetInputRows,
    DatasetRow,
    InputRows,
    number_of,
    task_of,
)
from mtgrpo.tasks.sources.dataset import label_names, task_name


class TaskEvaluator:
    """TRL's evaluation, turned into one result per task.

    Rows and draws are the same each time, and training goes on as if nothing had happened.

    Args:
        rows: Test rows are evaluated.
        num_samples: Completions per prompt.
        seed: Seed of the evaluation's own randomness.
        scale: The training's; puts rewards of graded tasks on a scale from 0 to 1.

    Attributes:
        rows: The test rows for TRL; None where no task has any.
        results: Those of the last evaluation, by task; empty before the first.
        part: Name of the dataset that is evaluated, where there are several: the task of its rows,
            unless a column names theirs.
    """

    def __init__(
        self, rows: InputRows, num_samples: int, seed: int, scale: RewardScale | None = None
    ) -> None:
        self.tasks, self.num_samples, self.seed = rows.tasks, num_samples, seed
        self._has_own_rows = not isinstance(rows, DatasetInputRows)
        test_rows = TestRows(rows)
        self.rows: Any = test_rows if len(test_rows) else None
        self.results: dict[str, TaskResult] = {}
        self.scale = RewardScale(rows.tasks.reward_ranges) if scale is None else scale
        self._numbers = {name: k for k, name in enumerate(rows.tasks.names)}
        self._table: EvaluationTable | None = None
        self.part: str | None = None
        self._num_rows = 0  # of a dataset, in the evaluation that is running
        self._dataset: Any = None
        self._num_prompts: int | None = None

    def change_rows(self, rows: InputRows) -> None:
        """Evaluate the test rows of these tasks from now on."""
        self.tasks, test_rows = rows.tasks, TestRows(rows)
        self.rows = test_rows if len(test_rows) else None
        self._numbers = {name: k for k, name in enumerate(rows.tasks.names)}

    @property
    def is_running(self) -> bool:
        """Whether an evaluation is going on."""
        return self._table is not None

    def of_each(
        self,
        evaluate: Callable[[Any, list[str] | None, str], dict[str, float]],
        given: Any,
        own: Any,
        ignore_keys: list[str] | None,
        prefix: str,
    ) -> dict[str, float]:
        """TRL's figures of one dataset, or of each of several.

        Args:
            evaluate: TRL's method; takes a dataset, or the name of one of the trainer's.
            given: What is evaluated in place of the trainer's own; None for those.
            own: The trainer's.
            ignore_keys: As TRL takes it.
            prefix: As TRL takes it.
        """
        self.results, self.part = {}, None  # a new evaluation
        parts = own if given is None else given
        if not isinstance(parts, Mapping):
            return evaluate(given, ignore_keys, prefix)

        metrics: dict[str, float] = {}
        for name, part in parts.items():
            self.part = name
            what: Any = name if given is None else part  # TRL knows its own by their names
            metrics |= evaluate(what, ignore_keys, f"{prefix}_{name}")
        return metrics

    @contextmanager
    def running(
        self, accelerator: Any, dataset: Any = None, is_prediction: bool = False
    ) -> Iterator[None]:
        """While TRL's loop runs: scores are collected, and join `results` at the end.

        Args:
            accelerator: accelerate's `Accelerator`.
            dataset: What is evaluated; None: the tasks' test rows.
            is_prediction: Whether `predict` was called, and no `of_each` before.

        Raises:
            ConfigError: Rows of no task, where tasks bring their own.
            RewardError: As `EvaluationTable.results`.
        """
        is_own = dataset is None or isinstance(dataset, TestRows)
        if self._has_own_rows and not is_own:
            raise ConfigError(
                "predict: test rows come from the tasks; put them into Task.test and call "
                "trainer.predict(trainer.eval_dataset)"
            )
        if is_prediction:
            self.results, self.part = {}, None
        self._num_rows, self._dataset = 0, dataset
        self._num_prompts = len(self._dataset) if hasattr(dataset, "__len__") else None
        table = self._table = EvaluationTable(self.tasks, self.num_samples, self.scale)
        try:
            with separate_randomness(self.seed + accelerator.process_index, accelerator.device):
                yield
        finally:
            self._table = None

        self.results = {**self.results, **table.results()}

    def numbered(
        self, rows: Sequence[Mapping[str, Any]], column: str, accelerator: Any
    ) -> list[dict[str, Any]]:
        """A dataset's rows with task and number, in place of what TRL's loader yields.

        Args:
            rows: This process's; each prompt as often as it has samples.
            column: Names the task of a row that has it.
            accelerator: accelerate's `Accelerator`.
        """
        first = self._num_rows + accelerator.process_index * len(rows)
        self._num_rows += accelerator.num_processes * len(rows)
        name = self.tasks.names[0] if self.part is None else self.part

        labels = label_names(self._dataset, column)
        numbered: list[dict[str, Any]] = []
        for place, row in enumerate(rows, first):
            number = place // self.num_samples
            if self._num_prompts:  # the last batch is filled up with copies of the first rows
                number %= self._num_prompts
            task = name
            if column in row:
                task = task_name(row[column], f"evaluate: row {place}", column, labels)
            numbered.append(DatasetRow(row, task, number))
        return numbered

    def add(
        self,
        inputs: Sequence[Mapping[str, Any]],
        rewards: torch.Tensor,
        accelerator: Any,
        measure: Callable[[torch.Tensor, Sequence[str]], torch.Tensor] | None = None,
    ) -> None:
        """Take in a batch while an evaluation is running; at other times nothing happens.

        Args:
            inputs: This process's rows.
            rewards: TRL's of all processes' rows, shape (rows, columns).
            accelerator: accelerate's `Accelerator`.
            measure: Gives reward and accuracy, shape (rows, 2), of these and each row's task; by
                default they are the first two columns.
        """
        if self._table is None:
            return

        places: list[Any] = [(task_of(row), number_of(row)) for row in inputs]
        if not all(isinstance(row, DatasetRow) for row in inputs):
            own = [(self._numbers[task], number) for task, number in places]
            gathered = accelerator.gather(torch.tensor(own, device=rewards.device))  # (rows, 2)
            places = gathered.tolist()
        elif accelerator.num_processes > 1:
            places = gather_object(places)

        names = [
            task if isinstance(task, str) else self._table.tasks[task].name for task, _ in places
        ]
        scores = rewards[:, :2] if measure is None else measure(rewards, names)
        self._table.add(places, scores.tolist())

    def metrics(self) -> dict[str, float]:
        """Flat figures of the last evaluation."""
        return result_metrics(self.results)

    def hand_on(
        self,
        log: MutableMapping[str, list[float]],
        output: dict[str, float],
        is_prediction: bool,
        prefix: str,
    ) -> None:
        """Put the figures where they are read.

        Args:
            log: TRL's figures of an evaluation, to which its `log` adds them at the end, with
                "eval_" before each name.
            output: The figures that the loop returns: of a prediction, for which TRL does not
                call `log`, they would be seen nowhere else, and in the next evaluation's log.
            is_prediction: Whether `predict` was called.
            prefix: Put before each name in `output`.
        """
        for name, value in self.metrics().items():
            log.setdefault(name, []).append(value)

        if is_prediction:
            for name, values in log.items():
                known = [value for value in values if not math.isnan(value)]
                if known:
                    output[f"{prefix}_{name}"] = math.fsum(known) / len(known)
            log.clear()

"""Evaluation per task through TRL's own evaluation loop: rows, order, randomness and figures."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object

from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.core.reward_scale import RewardScale
from mtgrpo.errors import RewardError, counted
from mtgrpo.integrations.trl.rollouts import DatasetRow, InputRows, number_of, task_of
from mtgrpo.tasks.scoring.drop_limit import most_dropped
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet


class TestRows(torch.utils.data.Dataset[dict[str, Any]]):
    """The test rows of all tasks, one task after the other; made when they are asked for."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, rows: InputRows) -> None:
        self._rows = rows
        self._places = [(task.name, i) for task in rows.tasks for i in range(len(task.test))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self._rows.test(*self._places[place])


class RepeatedInOrder(torch.utils.data.Sampler[int]):
    """Every index `times` times in a row, in order: the same for every run, whatever its seed."""

    def __init__(self, size: int, times: int) -> None:
        self.size, self.times = size, times

    def __iter__(self) -> Iterator[int]:
        return (i for i in range(self.size) for _ in range(self.times))

    def __len__(self) -> int:
        return self.size * self.times


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's test result.

    Attributes:
        accuracy: Mean over prompts of the mean over samples, in [0, 1]; for a graded task, whose
            rewards do not say what is right, the same of its score: the reward on the task's scale.
        reward: The same of the reward.
        num_prompts: Prompts evaluated; those that could not be scored are left out.
        std_error: Standard error of `accuracy`; prompts are the independent units, their samples
            are not. 0 with a single prompt.
        prompt_accuracies: Mean over samples for each prompt, in the order of the test rows: for
            paired comparisons; NaN for one that could not be scored.
        measure: ``"accuracy"``, or ``"score"`` for a graded task.
        prompt_rewards: Of a graded task without a stated range: mean reward of each prompt, from
            which a reader of the log puts all evaluations of a run on one scale.
    """

    accuracy: float
    reward: float
    num_prompts: int
    std_error: float
    prompt_accuracies: tuple[float, ...] = ()
    measure: str = "accuracy"
    prompt_rewards: tuple[float, ...] = ()


class EvaluationTable:
    """Collects one evaluation's scores by prompt.

    Args:
        tasks: Rows are told apart by the number of their task, or the name of one that a dataset
            brings, and by their own number.
        num_samples: Completions per prompt. More of a prompt are copies with which the last batch
            was padded.
        scale: Puts rewards of graded tasks on a scale from 0 to 1.
    """

    def __init__(self, tasks: TaskSet, num_samples: int, scale: RewardScale | None = None) -> None:
        self.tasks, self.num_samples = tuple(tasks), num_samples
        self.scale = RewardScale() if scale is None else scale
        self._scores: dict[tuple[Any, int], list[tuple[float, float]]] = {}

    def add(self, rows: Sequence[Sequence[Any]], scores: Sequence[Sequence[float]]) -> None:
        """Take in a batch of all processes.

        Args:
            rows: Task and row number of each completion.
            scores: Reward and accuracy of each completion.
        """
        for (task, row), (reward, accuracy) in zip(rows, scores, strict=True):
            samples = self._scores.setdefault((task, row), [])
            if len(samples) < self.num_samples:
                samples.append((reward, accuracy))

    def results(self) -> dict[str, TaskResult]:
        """The result of each task that has test rows.

        Raises:
            RewardError: More of a task's prompts could not be scored than its policy allows.
        """
        prompts: dict[Any, list[tuple[float, float]]] = {}
        for (task, _), samples in sorted(self._scores.items()):
            reward, accuracy = (
                math.fsum(column) / len(samples) for column in zip(*samples, strict=True)
            )
            prompts.setdefault(task, []).append((reward, accuracy))

        results: dict[str, TaskResult] = {}
        for task, values in prompts.items():
            name = task if isinstance(task, str) else self.tasks[task].name
            is_graded = any(math.isnan(a) and not math.isnan(r) for r, a in values)
            if is_graded:
                values = self._on_scale(name, values)
            if not isinstance(task, str):
                _check_dropped(self.tasks[task], values)

            if any(not math.isnan(reward) for reward, _ in values):
                result = _result(values)
                if is_graded:
                    has_range = not isinstance(task, str) and self.tasks[task].reward_range
                    rewards = () if has_range else tuple(reward for reward, _ in values)
                    result = replace(result, measure="score", prompt_rewards=rewards)
                results[name] = result
        return results

    def _on_scale(
        self, task: str, prompts: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float]]:
        rewards = [reward for reward, _ in prompts]
        scale = self.scale
        if scale.reward_range(task) is None:
            # Before training, or a task that is not trained on. Evaluating changes no training, so
            # what it learns of the range is forgotten again.
            scale = RewardScale()
            scale.observe(task, rewards)
        return [(r, r if math.isnan(r) else scale.level(task, r)) for r in rewards]


def _check_dropped(task: Task, prompts: Sequence[tuple[float, float]]) -> None:
    failed = sum(math.isnan(reward) for reward, _ in prompts)
    rate = task.scoring.max_dropped_rate
    allowed = most_dropped(rate, len(prompts))
    if failed > allowed:
        raise RewardError(
            f"task {task.name!r}: {failed} of {counted(len(prompts), 'test prompt')} could not "
            "be scored; "
            f"max_dropped_rate {rate:g} allows {allowed}; correct the reward and resume"
        )


def _result(prompts: Sequence[tuple[float, float]]) -> TaskResult:
    scored = [(reward, accuracy) for reward, accuracy in prompts if not math.isnan(reward)]
    n = len(scored)

    reward, accuracy = (math.fsum(column) / n for column in zip(*scored, strict=True))
    std_error = 0.0
    if n > 1:
        spread = math.fsum((a - accuracy) ** 2 for _, a in scored)
        std_error = math.sqrt(spread / (n - 1) / n)

    return TaskResult(accuracy, reward, n, std_error, tuple(a for _, a in prompts))


def result_metrics(results: Mapping[str, TaskResult]) -> dict[str, float]:
    """Flat figures; TRL puts ``eval_`` before each name, loggers show ``eval/``."""
    metrics: dict[str, float] = {}
    if not results:
        return metrics

    for name, result in results.items():
        metrics[f"task/{name}/{result.measure}"] = result.accuracy
        metrics[f"task/{name}/reward"] = result.reward
        metrics[f"task/{name}/std_error"] = result.std_error

    accuracies = {name: result.accuracy for name, result in results.items()}
    is_graded = any(result.measure == "score" for result in results.values())
    measure = "score" if is_graded else "accuracy"
    metrics[f"tasks/worst_{measure}"] = worst_accuracy(accuracies)
    metrics[f"tasks/mean_{measure}"] = mean_accuracy(accuracies)
    return metrics


class TaskEvaluation:
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
        test_rows = TestRows(rows)
        self.rows: Any = test_rows if len(test_rows) else None
        self.results: dict[str, TaskResult] = {}
        self.scale = RewardScale(rows.tasks.reward_ranges) if scale is None else scale
        self._numbers = {name: k for k, name in enumerate(rows.tasks.names)}
        self._table: EvaluationTable | None = None
        self.part: str | None = None
        self._num_rows = 0  # of a dataset, in the evaluation that is running
        self._num_prompts: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether an evaluation is going on."""
        return self._table is not None

    def begin(self) -> None:
        """Forget the last evaluation: a new one begins, perhaps of several datasets."""
        self.results, self.part = {}, None

    @contextmanager
    def running(self, accelerator: Any, dataset: Any = None) -> Iterator[None]:
        """While TRL's loop runs: scores are collected, and join `results` at the end.

        Args:
            accelerator: accelerate's.
            dataset: What is evaluated, where that is not the tasks' test rows.

        Raises:
            RewardError: As `EvaluationTable.results`.
        """
        self._num_rows = 0
        self._num_prompts = len(dataset) if hasattr(dataset, "__len__") else None
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
            accelerator: accelerate's.
        """
        first = self._num_rows + accelerator.process_index * len(rows)
        self._num_rows += accelerator.num_processes * len(rows)
        name = self.tasks.names[0] if self.part is None else self.part

        numbered: list[dict[str, Any]] = []
        for place, row in enumerate(rows, first):
            number = place // self.num_samples
            if self._num_prompts:  # the last batch is filled up with copies of the first rows
                number %= self._num_prompts
            numbered.append(DatasetRow(row, row.get(column, name), number))
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
            accelerator: accelerate's.
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


@contextmanager
def separate_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed Python, numpy and torch inside, and put all three back afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - TRL uses the global one

    on_device = device.type in ("cuda", "xpu")
    devices = [device.index or 0] if on_device else []
    with torch.random.fork_rng(devices=devices, device_type=device.type if on_device else "cuda"):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002

"""Results of an evaluation: scores collected by prompt, and what they say of each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.core.reward_scale import RewardScale
from mtgrpo.errors import RewardError, counted
from mtgrpo.tasks.scoring.drop_limit import most_dropped
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet


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
        prompt_rewards: Mean reward of each prompt of a graded task without a stated range, from
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

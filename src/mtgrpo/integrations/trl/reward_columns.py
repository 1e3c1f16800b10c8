"""TRL's reward functions over several tasks, and what their columns say of a completion.

The functions go to TRL as they are, and TRL calls them: `trainer_state`, `log_metric`, async
functions, reward models, None and weights are its own code. Of its table, one row a completion and
one column a function, the mixer needs two numbers: what is trained on, and what is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch

from mtgrpo.core.types import as_accuracy, at_least
from mtgrpo.errors import ConfigError, RewardError, unknown
from mtgrpo.integrations.trl.reward_calls import ALWAYS, PROTOCOL, SHARED, RewardCalls
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.tasks.signatures import defect_of_call

AccuracyRule: TypeAlias = "str | Callable[[Mapping[str, float]], float]"
"""The name of a reward function, or a function of all rewards of a completion by name."""


class RewardColumns:
    """The reward functions of a run on datasets.

    Args:
        reward_funcs: As TRL takes them, or a mapping from each task to its own.
        tasks: Names of the tasks.
        accuracy: What says how right a completion is, for all tasks or by task; None where nothing
            does.
        correct_at: A completion is right from this value on, of what `accuracy` names or else of
            the weighted sum of its rewards; for all tasks or by task.
        columns: Those of the rows; None where they are not known.

    Attributes:
        functions: What TRL gets: the functions as they are.
        calls: TRL's calls of them.

    Raises:
        ConfigError: A task without a reward, or a name that is no task's.
    """

    def __init__(
        self,
        reward_funcs: Any,
        tasks: Sequence[str],
        *,
        accuracy: AccuracyRule | Mapping[str, AccuracyRule] | None = None,
        correct_at: float | Mapping[str, float] | None = None,
        columns: frozenset[str] | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.accuracy = by_task(accuracy, self.tasks, "accuracy")
        self.correct_at = by_task(correct_at, self.tasks, "correct_at")
        _check_said(self.accuracy, self.correct_at)
        self.functions = reward_funcs
        check_functions(reward_funcs, columns)
        tasks_of: Sequence[frozenset[str] | None] = ()
        if isinstance(reward_funcs, Mapping):
            self.functions, tasks_of = _one_column_each(reward_funcs, self.tasks)
        self.calls = RewardCalls(tasks_of)

        self.names: tuple[str, ...] = ()
        self._weights = torch.ones(0)

    def bind(self, names: Sequence[str], weights: torch.Tensor) -> None:
        """Take TRL's names and weights of the columns, once it has made them.

        Raises:
            ConfigError: No column has the name that `accuracy` gives.
        """
        self.names, self._weights = tuple(names), weights
        for rule in self.accuracy.values():
            if isinstance(rule, str) and rule not in self.names:
                raise ConfigError(unknown(f"{WHERE}: accuracy", "reward function", rule, names))

    def rows_for_trl(
        self, trainer: Any, rows: Sequence[Any], completions: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """The rows with the columns of all of them, as TRL reads the names from the first."""
        names = dict.fromkeys(name for row in rows for name in row)
        if all(len(row) == len(names) for row in rows):
            return list(rows)
        return [{name: row.get(name) for name in names} for row in rows]

    def watched(self, trainer: Any, rows: Sequence[Any]) -> AbstractContextManager[None]:
        """While TRL calls the functions for these rows: a fault is said with its place."""
        return self.calls.watched(trainer, rows)

    def marked(self, rewards: torch.Tensor) -> torch.Tensor:
        """TRL's table as it is: its functions say themselves what could not be scored."""
        return rewards

    def measure(self, rewards: torch.Tensor, tasks: Sequence[str]) -> torch.Tensor:
        """Reward and accuracy of completions.

        Args:
            rewards: TRL's table, shape (rows, columns).
            tasks: The task of each row.

        Returns:
            Shape (rows, 2). The reward is NaN where no function applied, the accuracy where nothing
            says what is right.

        Raises:
            RewardError: An accuracy outside [0, 1].
        """
        total = weighted_sum(rewards, self._weights)  # (rows,)
        if not self.accuracy and not self.correct_at:
            return torch.stack([total, torch.full_like(total, math.nan)], 1)

        values = zip(rewards.tolist(), total.tolist(), tasks, strict=True)
        accuracies = [self._accuracy(row, reward, task) for row, reward, task in values]
        return torch.stack([total, total.new_tensor(accuracies)], 1)

    def _accuracy(self, row: Sequence[float], reward: float, task: str) -> float:
        rule, threshold = self.accuracy.get(task), self.correct_at.get(task)
        if rule is None and threshold is None:
            return math.nan

        value = reward
        if rule is not None:
            by_name = dict(zip(self.names, row, strict=True))
            value = by_name[rule] if isinstance(rule, str) else float(rule(by_name))
        if math.isnan(value):
            return math.nan
        if threshold is not None:
            return float(at_least(value, threshold))

        accuracy = as_accuracy(value)
        if accuracy is None:
            raise RewardError(
                f"task {task!r}: accuracy={_name(rule)!r} gives {value:g}; a number in [0, 1] is "
                "needed; set correct_at to say from which value on a completion is right"
            )
        return accuracy


def weighted_sum(rewards: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What TRL trains on: of shape (rows, columns) the sum over columns; NaN if all are."""
    total = (rewards * weights.to(rewards.device)).nansum(1)  # (rows,)
    return total.masked_fill(rewards.isnan().all(1), math.nan)


def by_task(value: Any, tasks: Sequence[str], name: str) -> dict[str, Any]:
    """An argument that is given for all tasks, or as a mapping from some of them.

    Raises:
        ConfigError: It names something that is no task.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return dict.fromkeys(tasks, value)

    for task in value:
        if task not in tasks:
            raise ConfigError(unknown(f"{WHERE}: {name}", "task", task, tasks))
    return {task: one for task, one in value.items() if one is not None}


NOT_PASSED = frozenset({"prompt", "completion"})
"""Columns of a row that TRL gives to no reward under these names."""


def check_functions(reward_funcs: Any, columns: frozenset[str] | None) -> None:
    """Refuse what can give no reward.

    Args:
        reward_funcs: As TRL takes them, or a mapping from each task to its own.
        columns: Those of the rows; None where they are not known.

    Raises:
        ConfigError: Something that is no function, model or name, or a function that does not take
            what it gets.
    """
    possible = None
    if columns is not None:
        possible = (columns - NOT_PASSED) | PROTOCOL | SHARED | {"log_extra"}

    given = {"reward_funcs": reward_funcs}
    if isinstance(reward_funcs, Mapping):
        given = {f"reward_funcs[{task!r}]": own for task, own in reward_funcs.items()}

    for name, own in given.items():
        for function in own if isinstance(own, (list, tuple)) else [own]:
            if function is not None and not callable(function) and not isinstance(function, str):
                raise ConfigError(
                    f"{WHERE}: {name} has a {type(function).__name__}; a function, a reward model "
                    "or its name, or a list of them, is needed"
                )
            if function is None or isinstance(function, (str, torch.nn.Module)):
                continue
            if defect := defect_of_call(function, ALWAYS, possible):
                raise ConfigError(f"{WHERE}: {name}: {defect}")


def _check_said(accuracy: Mapping[str, Any], correct_at: Mapping[str, Any]) -> None:
    for task, rule in accuracy.items():
        if not isinstance(rule, str) and not callable(rule):
            raise ConfigError(
                f"{WHERE}: accuracy of task {task!r} is {rule!r}; the name of a reward function, "
                "or a function of a completion's rewards by name, is needed"
            )
    for task, value in correct_at.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ConfigError(
                f"{WHERE}: correct_at of task {task!r} is {value!r}; a finite number is needed: "
                "the reward from which on a completion is right"
            )


# ---- functions of some of the tasks ------------------------------------------------------------
def _one_column_each(
    reward_funcs: Mapping[str, Any], tasks: Sequence[str]
) -> tuple[list[Any], list[frozenset[str] | None]]:
    """The distinct functions of all tasks, and of each the tasks it is for; None if for all."""
    users: dict[Any, tuple[Any, list[str]]] = {}
    given = by_task(reward_funcs, tasks, "reward_funcs")
    for task in tasks:
        if task not in given:
            raise ConfigError(
                f"{WHERE}: reward_funcs has no entry for task {task!r}; give it a function, or a "
                "list of them"
            )
        functions = given[task] if isinstance(given[task], (list, tuple)) else [given[task]]
        for function in functions:
            # Of a name, equal ones are one model; functions may be equal and not the same.
            key = function if isinstance(function, str) else id(function)
            users.setdefault(key, (function, []))[1].append(task)

    columns: list[Any] = []
    tasks_of: list[frozenset[str] | None] = []
    for function, own in users.values():
        columns.append(function)
        tasks_of.append(None if set(own) == set(tasks) else frozenset(own))
    return columns, tasks_of


def _name(function: Any) -> str:
    if isinstance(function, str):
        return function
    return getattr(function, "__name__", type(function).__name__)

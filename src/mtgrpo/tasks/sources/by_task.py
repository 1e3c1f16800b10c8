"""Tasks of rows that are told apart by name, with rewards for all of them or for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mtgrpo.errors import TaskError, unknown
from mtgrpo.tasks.scores import RewardFunction, Row
from mtgrpo.tasks.several_rewards import SeveralRewards
from mtgrpo.tasks.task import Task


@dataclass(frozen=True)
class RewardsByTask:
    """What tasks are rewarded for, each value for all of them or as a mapping by task.

    Attributes:
        rewards: A reward function or a list of them.
        reward_weights: One for each function of a list; 1 by default. For all tasks alike.
        accuracy: The name of a reward function whose values are accuracies, or a function of a
            completion's rewards by name.
        correct_at: A completion is right from this value on, of `accuracy` or else of its reward.
        reward_range: As `Task`.
    """

    rewards: Any
    reward_weights: Sequence[float] | None = None
    accuracy: Any = None
    correct_at: Any = None
    reward_range: Any = None


def tasks_by_name(
    train: Mapping[str, Sequence[Row]],
    test: Mapping[str, Sequence[Row]],
    said: RewardsByTask,
    where: str,
) -> list[Task]:
    """A task for each name, in order.

    Args:
        train: Rows to train on, by task.
        test: Rows to test on, by task.
        said: Their rewards.
        where: Begins every message.

    Raises:
        TaskError: A task without a reward, or a name that is no task's.
    """
    names = tuple(dict.fromkeys([*train, *test]))
    rewards = _of_each(said.rewards, names, f"{where}: rewards")
    rules = _of_each(said.accuracy, names, f"{where}: accuracy")
    limits = _of_each(said.correct_at, names, f"{where}: correct_at")
    ranges = _of_each(said.reward_range, names, f"{where}: reward_range")

    tasks: list[Task] = []
    for name in names:
        if not rewards[name]:
            raise TaskError(f"{where}: task {name!r} has no reward; give rewards[{name!r}]")

        reward, limit = rewards[name], limits[name]
        if isinstance(reward, (list, tuple)) or rules[name] is not None:
            place = f"{where}: task {name!r}"
            reward = _joined(reward, said.reward_weights, rules[name], limit, place)
            limit = limit if rules[name] is None else None

        task = Task(
            name,
            train.get(name, ()),
            test.get(name, ()),
            reward,
            correct_at=limit,
            reward_range=ranges[name],
        )
        tasks.append(task)
    return tasks


def _joined(
    given: Any, weights: Sequence[float] | None, rule: Any, limit: Any, where: str
) -> RewardFunction:
    listed = list(cast("Sequence[Any]", given)) if isinstance(given, (list, tuple)) else [given]
    return SeveralRewards(listed, weights, rule, limit if rule is not None else None, where)


def _of_each(value: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)

    by_name = cast("Mapping[str, Any]", value)
    for name in by_name:
        if name not in names:
            raise TaskError(unknown(where, "task", name, names))
    return {name: by_name.get(name) for name in names}

"""The nine tasks: a family and a level, as a `mtgrpo.tasks.Task`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, overload

from mtgrpo.errors import ConfigError, unknown
from mtgrpo.tasks.answers.rewards import score_countdown, score_exact
from mtgrpo.tasks.scores import Score, each
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.tiny import arc, countdown, zebra
from mtgrpo.tasks.tiny.problem import Problem, draw

LEVELS = ("easy", "medium", "hard")
_FAMILIES = {"countdown": countdown, "zebra": zebra, "arc": arc}
FAMILIES = tuple(_FAMILIES)


def task_name(family: str, level: str) -> str:
    """The name of a task.

    Raises:
        ConfigError: there is no such family or level.
    """
    if family not in FAMILIES:
        raise ConfigError(unknown("mtgrpo.tiny", "family", family, FAMILIES))
    if level not in LEVELS:
        raise ConfigError(unknown("mtgrpo.tiny", "level", level, LEVELS))
    return f"{family}-{level}"


def problem(family: str, level: str, split: str, seed: int, index: int) -> Problem:
    """The problem with this number; see `mtgrpo.tasks.tiny.problem.draw`."""
    return draw(
        partial(_FAMILIES[family].make, level), task_name(family, level), split, seed, index
    )


def floor(family: str, level: str) -> float:
    """The accuracy of a guess."""
    task_name(family, level)
    return _FAMILIES[family].FLOORS[level]


class Rows(Sequence["dict[str, Any]"]):
    """Rows of one split, made when they are asked for and kept."""

    def __init__(self, family: str, level: str, split: str, length: int, seed: int) -> None:
        self._where = (family, level, split, seed)
        self._length = length
        self._made: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f"row {index} of {self._length}")
        index %= self._length
        if index not in self._made:
            made = problem(*self._where, index)
            row: dict[str, Any] = {"prompt": made.prompt, "answer": made.answer}
            if made.numbers:
                row |= {"numbers": list(made.numbers), "target": made.target}
            self._made[index] = row
        return self._made[index]


def score(text: str, row: Any) -> Score:
    """1.0 for a right answer, 0.1 for a wrong one in its box, 0.0 for anything else."""
    if row.get("numbers"):
        return score_countdown(text, row["numbers"], row["target"])
    return score_exact(text, row["answer"])


def oracle(row: Any) -> str:
    r"""A right completion: the answer in ``\boxed{}``."""
    return f"\\boxed{{{row['answer']}}}"


def tiny_task(
    family: str, level: str, *, num_train: int = 10_000, num_test: int = 200, seed: int = 0
) -> Task:
    """One task.

    Args:
        family: countdown, zebra or arc.
        level: easy, medium or hard.
        num_train: Rows to train on; made on access.
        num_test: Rows to evaluate on. No problem is ever in both splits, whatever the seed.
        seed: Names the data set.

    Returns:
        The task ``<family>-<level>``. Rows have ``prompt`` and ``answer``, countdown's also ``numbers`` and ``target``.

    Raises:
        ConfigError: there is no such family or level, or a number of rows is negative.
    """
    name = task_name(family, level)
    if num_train < 0 or num_test < 0:
        raise ConfigError(
            f"task {name!r}: num_train={num_train}, num_test={num_test}; both must be 0 or more"
        )
    return Task(
        name=name,
        train=Rows(family, level, "train", num_train, seed),
        test=Rows(family, level, "test", num_test, seed),
        reward=each(score),
        floor=floor(family, level),
        family=family,
        level=level,
        oracle=oracle,
    )


def tiny_tasks(
    families: Iterable[str] = FAMILIES,
    levels: Iterable[str] = LEVELS,
    *,
    num_train: int = 10_000,
    num_test: int = 200,
    seed: int = 0,
) -> list[Task]:
    """Tasks of several families and levels, level by level; all nine by default. See `tiny_task`."""
    families = tuple(families)
    return [
        tiny_task(family, level, num_train=num_train, num_test=num_test, seed=seed)
        for level in levels
        for family in families
    ]

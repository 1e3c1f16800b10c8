"""The nine tasks of the embedded model: a family and a level, as a `mtgrpo.tasks.Task`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from mtgrpo.errors import ConfigError, unknown
from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.answers.rewards import score_countdown, score_exact
from mtgrpo.tasks.scores import Row, Score, each
from mtgrpo.tasks.sources.generated import GeneratedRows
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
    make = partial(_FAMILIES[family].make, level)
    return draw(make, task_name(family, level), split, seed, index)


def make_row(family: str, level: str, split: str, seed: int, index: int) -> Row:
    """The problem with this number as a row of a task; see `tiny_task` for its columns."""
    made = problem(family, level, split, seed, index)
    row: dict[str, object] = {"prompt": made.prompt, "answer": made.answer}
    if made.numbers:
        row |= {"numbers": list(made.numbers), "target": made.target}
    return row


def floor(family: str, level: str) -> float:
    """The accuracy of a guess."""
    task_name(family, level)
    return _FAMILIES[family].FLOORS[level]


def score(text: str, row: Row) -> Score:
    """1.0 for a right answer, 0.1 for a wrong one in its box, 0.0 for anything else."""
    if row.get("numbers"):
        return score_countdown(text, row["numbers"], row["target"])
    return score_exact(text, row["answer"])


def oracle(row: Row) -> str:
    r"""A right completion: the answer in ``\boxed{}``."""
    return box(row["answer"])


def tiny_task(
    family: str, level: str, *, num_train: int = 10_000, num_test: int = 200, seed: int = 0
) -> Task:
    """One task of the embedded model.

    Args:
        family: countdown, zebra or arc.
        level: easy, medium or hard.
        num_train: Number of rows to train on, each made when it is first looked at.
        num_test: Number of rows to evaluate on. No problem is in both splits, for any seed.
        seed: Names the data set.

    Returns:
        The task ``<family>-<level>``. Rows have ``prompt`` and ``answer``, countdown's also
        ``numbers`` and ``target``.

    Raises:
        ConfigError: there is no such family or level, or a number of rows is negative.
    """
    name = task_name(family, level)
    if num_train < 0 or num_test < 0:
        raise ConfigError(
            f"task {name!r}: num_train={num_train}, num_test={num_test}; both must be 0 or more"
        )

    def rows(split: str, length: int) -> GeneratedRows:
        make = partial(make_row, family, level, split, seed)
        return GeneratedRows(length, make, cache_size=length)

    return Task(
        name=name,
        train=rows("train", num_train),
        test=rows("test", num_test),
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
    """Tasks of several families and levels, level by level; all nine by default.

    Args:
        families: Families, in the order of the tasks within a level.
        levels: Levels, in order.
        num_train: Number of rows to train on, of each task.
        num_test: Number of rows to evaluate on, of each task.
        seed: Names the data set.
    """
    families = tuple(families)

    def task(family: str, level: str) -> Task:
        return tiny_task(family, level, num_train=num_train, num_test=num_test, seed=seed)

    return [task(family, level) for level in levels for family in families]

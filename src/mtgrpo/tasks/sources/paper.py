"""The tasks of the Multi-Task GRPO paper (arXiv 2602.05547): three reasoning-gym families."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mtgrpo.errors import TaskError, unknown
from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.answers.rewards import score_countdown, score_exact
from mtgrpo.tasks.answers.solver import countdown_oracle
from mtgrpo.tasks.scores import RewardFunction, Row, Score, each
from mtgrpo.tasks.sources.reasoning_gym import PAPER_TEMPLATE, Source
from mtgrpo.tasks.task import Task

LEVELS = ("easy", "medium", "hard", "very_hard")
"""From 3 to 6 numbers, people, or tens of cells. The paper only tests on ``very_hard``."""

NUM_TRAIN, NUM_TEST = 10_000, 200
"""Prompts per level in the paper."""


def paper_task(
    family: str,
    level: str,
    *,
    name: str | None = None,
    seed: int = 0,
    num_train: int | None = None,
    num_test: int = NUM_TEST,
) -> Task:
    """One task of the paper, called ``"<family>-<level>"``.

    Prompt, rewards (1.0 right, 0.1 wrong but boxed, 0.0 otherwise) and parameters are the
    paper's; the rows are drawn anew, and the answers are read by `mtgrpo.tasks.answers.rewards`,
    which is stricter and more lenient where that is right.

    Args:
        family: ``"countdown"``, ``"zebra"`` or ``"arc"``.
        level: One of `LEVELS`.
        name: Another name for the task.
        seed: Chooses the rows, from 0 on.
        num_train: Number of rows to train on; 10,000 by default, and none at the level that is
            only tested on.
        num_test: Number of rows to test on.

    Raises:
        TaskError: family, level or a number is not allowed.
        MissingExtra: reasoning-gym is not installed.
    """
    where = f"paper_task({family!r}, {level!r})"
    if family not in FAMILIES:
        raise TaskError(unknown(where, "family", family, FAMILIES))
    if level not in LEVELS:
        raise TaskError(unknown(where, "level", level, LEVELS))

    recipe = FAMILIES[family]
    step = LEVELS.index(level)
    if num_train is None:
        num_train = 0 if level == "very_hard" else NUM_TRAIN

    def row_of(entry: Mapping[str, Any], index: int) -> Row:
        question, columns = recipe.row_of(entry)
        return {"prompt": PAPER_TEMPLATE.replace("{question}", question), **columns}

    parameters = recipe.parameters(step + 3)
    source = Source(recipe.dataset, seed, num_train, num_test, row_of, parameters)

    return Task(
        name=name if name is not None else f"{family}-{level}",
        train=source.train,
        test=source.test,
        reward=recipe.reward,
        floor=recipe.floors[step],
        family=family,
        level=level,
        oracle=recipe.oracle,
    )


def paper_tasks(
    levels: Sequence[str] = ("easy", "medium", "hard"),
    families: Sequence[str] = ("countdown", "zebra", "arc"),
    *,
    seed: int = 0,
    num_train: int | None = None,
    num_test: int = NUM_TEST,
) -> list[Task]:
    """The tasks of several levels and families.

    By default these are the paper's nine; with ``["medium"]`` its three.

    Args:
        levels: Levels, in order.
        families: Families, in the order of the tasks within a level.
        seed: Chooses the rows of every task.
        num_train: Number of rows to train on, of each task; see `paper_task`.
        num_test: Number of rows to test on, of each task.

    Raises:
        TaskError: a family, a level or a number is not allowed.
        MissingExtra: reasoning-gym is not installed.
    """
    for argument, value in (("levels", levels), ("families", families)):
        if isinstance(value, str):
            raise TaskError(
                f"paper_tasks: {argument} is the text {value!r}; a list is needed: [{value!r}]"
            )

    def task(family: str, level: str) -> Task:
        return paper_task(family, level, seed=seed, num_train=num_train, num_test=num_test)

    return [task(family, level) for level in levels for family in families]


def countdown_reward(text: str, row: Row) -> Score:
    """`score_countdown` for a row with the columns ``numbers`` and ``target``."""
    return score_countdown(text, row["numbers"], row["target"])


def exact_reward(text: str, row: Row) -> Score:
    """`score_exact` for a row with the column ``answer``."""
    return score_exact(text, row["answer"])


def exact_oracle(row: Row) -> str:
    """A right completion of a row with the column ``answer``."""
    return box(row["answer"])


class _Family(NamedTuple):
    """How to make the tasks of a family.

    Attributes:
        dataset: reasoning-gym's name.
        parameters: The dataset's parameters for a size, from 3 (easy) to 6 (very hard).
        row_of: Question and columns of an entry.
        reward: Scores completions.
        oracle: Gives a right completion of a row.
        floors: Accuracy of a guess at each level.
    """

    dataset: str
    parameters: Callable[[int], dict[str, Any]]
    row_of: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    reward: RewardFunction
    oracle: Callable[[Row], str]
    floors: tuple[float, float, float, float]


def _countdown_parameters(size: int) -> dict[str, Any]:
    values_and_targets = {"min_value": 1, "max_value": 100, "min_target": 1, "max_target": 1000}
    return {"min_numbers": size, "max_numbers": size, **values_and_targets}


def _zebra_parameters(size: int) -> dict[str, Any]:
    return {"num_people": size, "num_characteristics": size}


def _arc_parameters(size: int) -> dict[str, Any]:
    return {"min_size": 10 * (size - 2), "max_size": 10 * (size - 2), "num_train": 3}


def _countdown_row(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    numbers, target = list(entry["metadata"]["numbers"]), entry["metadata"]["target"]
    question = (
        f"Using the numbers {numbers}, create an equation that equals {target}. "
        "You can only use basic arithmetic operations (+, -, *, /) and each number should be used "
        "exactly once. Return the final answer in \\boxed{}, for example \\boxed{(1 + 2) / 3}."
    )
    return question, {"numbers": numbers, "target": target}


def _zebra_row(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    # "put in in" is the paper's own spelling, and the prompts are kept as they were.
    wanted = "final answer and put in in \\boxed{}, for example: \\boxed{Alice}."
    return _reworded(entry, "final answer.", wanted)


def _arc_row(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    wanted = (
        "final answer must be placed in \\boxed{} and should be just the test output grid itself."
    )
    return _reworded(entry, "final answer should be just the test output grid itself.", wanted)


def _reworded(entry: Mapping[str, Any], original: str, wanted: str) -> tuple[str, dict[str, Any]]:
    question: str = entry["question"]
    if question.count(original) != 1:
        raise TaskError(
            f"paper task: reasoning-gym's question no longer says {original!r}; this release of "
            "reasoning-gym does not fit; install reasoning-gym==0.1.25"
        )

    # Newer releases of reasoning-gym end Zebra's question in two question marks.
    question = question.replace(original, wanted).replace("?? ", "? ")
    return question, {"answer": entry["answer"]}


_EXACT = each(exact_reward)

FAMILIES: dict[str, _Family] = {
    "countdown": _Family(
        dataset="countdown",
        parameters=_countdown_parameters,
        row_of=_countdown_row,
        reward=each(countdown_reward),
        oracle=countdown_oracle,
        floors=(0.0, 0.0, 0.0, 0.0),
    ),
    "zebra": _Family(
        dataset="zebra_puzzles",
        parameters=_zebra_parameters,
        row_of=_zebra_row,
        reward=_EXACT,
        oracle=exact_oracle,
        floors=(1 / 3, 1 / 4, 1 / 5, 1 / 6),
    ),
    "arc": _Family(
        dataset="arc_1d",
        parameters=_arc_parameters,
        row_of=_arc_row,
        reward=_EXACT,
        oracle=exact_oracle,
        floors=(0.085, 0.025, 0.02, 0.02),
    ),
}
"""The paper's families. A guess names anyone (zebra), or copies the input (arc)."""

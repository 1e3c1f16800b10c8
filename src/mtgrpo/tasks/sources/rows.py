"""Tasks from users' own rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

from mtgrpo.errors import TaskError, counted
from mtgrpo.imports import import_function
from mtgrpo.tasks.scores import RewardFunction
from mtgrpo.tasks.sources.prompt_shape import PromptShape
from mtgrpo.tasks.sources.read_rows import RowSource, read_rows, require_column
from mtgrpo.tasks.sources.saved_rows import opened
from mtgrpo.tasks.task import Task, check_name
from mtgrpo.tasks.task_set import TaskSet, prompt_key


def rows_task(
    name: str,
    train: RowSource,
    *,
    reward: RewardFunction | str,
    test: RowSource | None = None,
    test_fraction: float = 0.0,
    train_split: str | None = None,
    test_split: str | None = None,
    prompt: str = "prompt",
    template: str | None = None,
    chat: bool = False,
    correct_at: float | None = None,
    reward_range: tuple[float, float] | None = None,
    floor: float = 0.0,
    family: str | None = None,
    level: str | None = None,
) -> Task:
    """A task from rows of a file or in memory.

    Args:
        name: The task's name.
        train: A ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file, a folder saved
            with `save_to_disk`, a list of mappings, or a Hugging Face `Dataset`.
        reward: A reward function, or where one is: ``"module:function"`` or
            ``"file.py:function"``. It gets the rows' other columns as keyword arguments.
        test: Rows to test on, in any of the forms of `train`.
        test_fraction: Instead of `test`, the share of `train` to test on, in [0, 1). A hash of
            the prompt decides which rows, so that equal prompts stay together and added rows
            move no other.
        train_split: The split of a saved folder that has several, by default ``"train"``.
        test_split: The split to test on, of the folder `test` (by default ``"test"``), or without
            `test` of the folder `train`.
        prompt: The column with the prompt: texts, or lists of chat messages.
        template: The prompt; ``{question}`` stands for the text in the prompt's column, if that is
            called ``question``.
        chat: Whether a text becomes one chat message of the user.
        correct_at: A completion is correct from this reward on; left out, the task is graded,
            unless the reward returns `Score` objects. See `Task`.
        reward_range: Lowest and highest reward of a graded task.
        floor: Accuracy of a guess.
        family: Group of tasks in reports.
        level: Difficulty in reports.

    Raises:
        TaskError: rows, column, reward or a number cannot be used, or a prompt is in both splits.
    """
    check_name(name)
    where = f"task {name!r}"

    if test is None and test_split is not None:
        test = train
    check_fraction(test, test_fraction, where)

    at = f"{where}, train"
    train_rows = prepare_rows(read_rows(opened(train, at, train_split), at), prompt, at)

    test_rows: list[dict[str, Any]] = []
    if test is not None:
        at = f"{where}, test"
        test_rows = prepare_rows(read_rows(opened(test, at, test_split, "test"), at), prompt, at)
    elif test_fraction:
        train_rows, test_rows = split_rows(train_rows, test_fraction, where)

    shape = PromptShape(prompt, template, chat)
    train_rows = shape.shaped(train_rows, f"{where}, train")
    test_rows = shape.shaped(test_rows, f"{where}, test")

    if isinstance(reward, str):
        reward = import_function(reward, f"{where}, reward")

    task = Task(
        name=name,
        train=train_rows,
        test=test_rows,
        reward=reward,
        correct_at=correct_at,
        reward_range=reward_range,
        floor=floor,
        family=family,
        level=level,
    )

    TaskSet(task).check_disjoint()
    return task


def prepare_rows(rows: list[dict[str, Any]], prompt: str, where: str) -> list[dict[str, Any]]:
    """The rows with their prompts in the column ``"prompt"``; a column of that name gives way.

    Raises:
        TaskError: a row lacks the column, or its prompt is empty or neither a text nor messages.
    """
    require_column(rows, prompt, where)

    prepared: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        _check_prompt(row[prompt], f"{where}: row {i}, column {prompt!r}")
        columns = {name: value for name, value in row.items() if name not in (prompt, "prompt")}
        prepared.append({"prompt": row[prompt], **columns})
    return prepared


def _check_prompt(prompt: Any, where: str) -> None:
    if not isinstance(prompt, (str, list)) or not prompt:
        kind = type(cast("object", prompt)).__name__
        given = f"a {kind}" if prompt else f"empty: {prompt!r}"
        raise TaskError(
            f"{where}: the prompt is {given}; a text or a list of chat messages is needed"
        )
    if isinstance(prompt, str):
        return

    for message in cast("list[Any]", prompt):
        if not isinstance(message, Mapping) or "role" not in message:
            raise TaskError(f"{where}: a message without role; messages need role and content")


def check_fraction(test: object, test_fraction: float, where: str) -> None:
    """Refuse a share of rows to test on that is none, or one beside rows to test on.

    Raises:
        TaskError: With the key's name.
    """
    if test is not None and test_fraction:
        raise TaskError(f"{where}: test and test_fraction are both given; give one")
    if not 0.0 <= test_fraction < 1.0:
        raise TaskError(f"{where}: test_fraction is {test_fraction!r}; a share in [0, 1) is needed")


def split_rows(
    rows: list[dict[str, Any]], test_fraction: float, where: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to train on and rows to test on.

    Raises:
        TaskError: There are none of one kind.
    """
    train: list[dict[str, Any]] = []
    test: list[dict[str, Any]] = []

    for row in rows:
        split = test if _place(row["prompt"]) < test_fraction else train
        split.append(row)

    if not train or not test:
        raise TaskError(
            f"{where}: test_fraction {test_fraction} leaves {counted(len(train), 'row')} to "
            "train on and "
            f"{len(test)} to test on; both need some; change it or give test"
        )

    return train, test


def _place(prompt: Any) -> float:
    """A number in [0, 1) that depends on the prompt alone."""
    text = prompt_key(prompt)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

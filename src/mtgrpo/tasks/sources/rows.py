"""Tasks from users' own rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from mtgrpo.errors import TaskError
from mtgrpo.tasks.imports import import_function
from mtgrpo.tasks.scores import RewardFunction
from mtgrpo.tasks.sources.read_rows import RowSource, read_rows, require_column
from mtgrpo.tasks.task import Task, check_name
from mtgrpo.tasks.task_set import TaskSet, prompt_key


def rows_task(
    name: str,
    train: RowSource,
    *,
    reward: RewardFunction | str,
    test: RowSource | None = None,
    test_fraction: float = 0.0,
    prompt: str = "prompt",
    correct_at: float = 1.0,
    floor: float = 0.0,
    family: str | None = None,
    level: str | None = None,
) -> Task:
    """A task from rows of a file or in memory.

    Args:
        name: The task's name.
        train: A ``.jsonl`` or ``.parquet`` file, a list of mappings, or a Hugging Face `Dataset`.
        reward: A reward function, or where one is: ``"module:function"`` or ``"file.py:function"``. It gets the rows'
            other columns as keyword arguments.
        test: Rows to test on, as `train`.
        test_fraction: Instead of `test`, the share of `train` to test on, in [0, 1). Which rows is decided by a hash
            of the prompt, so that equal prompts stay together and added rows move no other.
        prompt: The column with the prompt: texts, or lists of chat messages.
        correct_at: A completion is correct from this reward on.
        floor: Accuracy of a guess.
        family: Group of tasks in reports.
        level: Difficulty in reports.

    Raises:
        TaskError: rows, column, reward or a number cannot be used, or a prompt is in both splits.
    """
    check_name(name)
    where = f"task {name!r}"
    if test is not None and test_fraction:
        raise TaskError(f"{where}: test and test_fraction are both given; give one")
    if not 0.0 <= test_fraction < 1.0:
        raise TaskError(f"{where}: test_fraction is {test_fraction!r}; a share in [0, 1) is needed")
    rows = prepare_rows(read_rows(train, f"{where}, train"), prompt, f"{where}, train")
    tested: Sequence[Mapping[str, Any]] = []
    if test is not None:
        tested = prepare_rows(read_rows(test, f"{where}, test"), prompt, f"{where}, test")
    elif test_fraction:
        kept = [row for row in rows if _share(row["prompt"]) >= test_fraction]
        tested = [row for row in rows if _share(row["prompt"]) < test_fraction]
        rows = kept
        if not rows or not tested:
            raise TaskError(
                f"{where}: test_fraction {test_fraction} leaves {len(rows)} rows to train on and {len(tested)} to "
                "test on; both need some; change it or give test"
            )
    task = Task(
        name=name,
        train=rows,
        test=tested,
        reward=import_function(reward, f"{where}, reward") if isinstance(reward, str) else reward,
        correct_at=correct_at,
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
        value: Any = row[prompt]
        if not isinstance(value, (str, list)) or not value:
            found = f"a {type(cast('object', value)).__name__}" if value else f"empty: {value!r}"
            raise TaskError(
                f"{where}: row {i}, column {prompt!r}: the prompt is {found}; a text or a list of chat messages is "
                "needed"
            )
        if isinstance(value, list):
            for message in cast("list[Any]", value):
                if not isinstance(message, Mapping) or "role" not in message:
                    raise TaskError(
                        f"{where}: row {i}, column {prompt!r}: a message without role; messages need role and content"
                    )
        prepared.append(
            {"prompt": value, **{k: v for k, v in row.items() if k not in (prompt, "prompt")}}
        )
    return prepared


def _share(prompt: Any) -> float:
    """A number in [0, 1) that depends on the prompt alone."""
    digest = hashlib.sha256(prompt_key(prompt).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

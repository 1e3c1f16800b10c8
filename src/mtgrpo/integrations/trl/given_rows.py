"""What datasets must have, looked at before a model is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.tasks.prompts import check_prompt

TASK_COLUMN = "task"
"""Column of the tasks' names where none is stated; it may be absent."""

NUM_CHECKED = 20_000
"""Rows of a dataset whose prompts are looked at; of longer ones that would take too long."""


def check_column(dataset: Any, column: Any) -> None:
    """Refuse a column of task names that is not there.

    Args:
        dataset: What the trainer is given to train on.
        column: The trainer's `task_column`.

    Raises:
        ConfigError: It is no text, or a dataset has no such column; names those that it has.
    """
    if not isinstance(column, str) or not column:
        raise ConfigError(
            f"{WHERE}: task_column={column!r}; the name of a column of train_dataset is needed"
        )
    if column == TASK_COLUMN or isinstance(dataset, Mapping):
        return

    names = getattr(dataset, "column_names", None)
    if names is not None and column not in names:
        raise ConfigError(
            f"{WHERE}: train_dataset has no column {column!r} (task_column); columns there are: "
            f"{', '.join(map(str, names))}"
        )


def columns_of(dataset: Any) -> frozenset[str] | None:
    """The columns of what a trainer is given to train on, for all tasks together.

    Returns:
        None where only the rows themselves would show them: a stream, or rows made on access.
    """
    columns: set[str] = set()
    parts = list(dataset.values()) if isinstance(dataset, Mapping) else [dataset]
    for part in parts:
        if not isinstance(part, Dataset) or part.format["type"] == "custom":
            return None
        columns.update(part.column_names)
    return frozenset(columns)


def check_prompts(dataset: Any, where: str = "train_dataset") -> None:
    """Refuse rows without a prompt, or with one that no engine can use.

    Args:
        dataset: What the trainer is given; only datasets with a length are read.
        where: Name of the argument.

    Raises:
        ConfigError: There is no such column; names those that there are.
        TaskError: A prompt cannot be used; names its row.
    """
    for place, part in _parts(dataset, f"{WHERE}: {where}"):
        if len(part) and "prompt" not in part.column_names:
            raise ConfigError(
                f"{place}: no column 'prompt'; columns there are: {', '.join(part.column_names)}; "
                "rename the one with the prompts: dataset.rename_column(old, 'prompt')"
            )
        if not len(part):
            continue

        for i, prompt in enumerate(itertools.islice(part["prompt"], NUM_CHECKED)):
            check_prompt(prompt, f"{place}, row {i}")


def _parts(dataset: Any, where: str) -> Iterator[tuple[str, Dataset]]:
    parts: Mapping[str, Any] = {where: dataset}
    if isinstance(dataset, Mapping):
        parts = {f"{where}[{name!r}]": part for name, part in dataset.items()}

    for place, part in parts.items():
        if isinstance(part, Dataset):
            yield place, part

"""Rows of a dataset by task: one dataset with a column of task names, or a dataset for each task.

A dataset is anything with a length, rows by number and columns by name (that of the package
``datasets`` is one), or a list of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, overload

from mtgrpo.errors import TaskError, counted
from mtgrpo.tasks.numeric import as_whole
from mtgrpo.tasks.scores import Row

DEFAULT = "default"
"""Name of the only task of a dataset without a column of task names."""

MANY = 20
"""Tasks, from which on a column with hardly two rows of each is taken for one of something else."""

SPLITS = frozenset({"train", "test", "validation"})


class DatasetRows(Sequence[Row]):
    """Some rows of a dataset; each is read when it is asked for.

    Args:
        dataset: The dataset.
        places: The numbers of the rows, in order; None for all of them.
    """

    def __init__(self, dataset: Any, places: Sequence[int] | None = None) -> None:
        self._dataset = dataset
        self._places = range(len(dataset)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return DatasetRows(self._dataset, self._places[index])
        return self._dataset[self._places[index]]

    def __repr__(self) -> str:
        return f"DatasetRows({len(self)})"


def rows_by_task(
    dataset: Any, column: str, where: str, labels: Sequence[str] | None = None
) -> dict[str, Sequence[Row]]:
    """The rows of each task, in the order in which tasks first come up.

    Args:
        dataset: A dataset, or a mapping with a dataset for each task.
        column: Where a dataset has this column, it names the task of each row. Without it all rows
            are those of the task ``"default"``.
        where: Begins every message.
        labels: Names of the column's numbers, where the dataset itself has none.

    Raises:
        TaskError: A name that cannot be one, or no rows.
    """
    if isinstance(dataset, Mapping):
        named = cast("Mapping[str, Any]", dataset)
        check_names(named, where)
        return {name: DatasetRows(rows) for name, rows in named.items()}

    names = _column(dataset, column, where)
    if names is None:
        return {DEFAULT: DatasetRows(dataset)}

    labels = label_names(dataset, column) or labels
    places: dict[str, list[int]] = {}
    for i, value in enumerate(names):
        name = task_name(value, f"{where}, row {i}", column, labels)
        places.setdefault(name, []).append(i)

    if len(places) > MANY and 2 * len(places) > len(names):
        raise TaskError(
            f"{where}: column {column!r} has {len(places):,} different values in "
            f"{counted(len(names), 'row')}; a task has many rows: name the column that says of "
            "each row which task it is of"
        )
    return {name: DatasetRows(dataset, own) for name, own in places.items()}


def check_names(named: Mapping[str, Any], where: str) -> None:
    """Refuse a mapping that has splits in place of tasks, or nothing.

    Raises:
        TaskError: With the way out.
    """
    if not named:
        raise TaskError(f"{where}: an empty mapping; a dataset for each task is needed")
    if SPLITS.issuperset(named):
        raise TaskError(
            f"{where}: the splits {', '.join(map(repr, named))}, not a dataset for each task; "
            f"give one of them: dataset[{next(iter(named))!r}]"
        )


def label_names(dataset: Any, column: str) -> Sequence[str] | None:
    """Names of the labels of a dataset's column, where it holds their numbers; else None."""
    features: Any = getattr(dataset, "features", None)
    if not features or column not in features:
        return None
    return getattr(features[column], "names", None)  # a `datasets.ClassLabel` has them


def task_name(value: Any, where: str, column: str, labels: Sequence[str] | None = None) -> str:
    """The name of a row's task.

    Args:
        value: What the row has: a name, or a whole number, which is its own name.
        where: Begins the message.
        column: Name of the column.
        labels: Of a column of numbers of labels, their names.

    Raises:
        TaskError: It is neither.
    """
    number = None if isinstance(value, (str, float)) else as_whole(value)
    if number is not None and labels is not None and 0 <= number < len(labels):
        return labels[number]
    if number is not None and labels is None:
        return str(number)
    if isinstance(value, str) and value:
        return value

    raise TaskError(
        f"{where}: column {column!r} is {value!r}; the name of the row's task is needed, or its "
        "number; leave such rows out, or name another column"
    )


def _column(dataset: Any, column: str, where: str) -> Sequence[Any] | None:
    """The values of a column, or None where there is no such column."""
    if len(dataset) == 0:
        raise TaskError(f"{where}: no rows; at least one is needed")

    names = getattr(dataset, "column_names", None)
    if names is not None:
        return dataset[column] if column in names else None

    rows = cast("Sequence[Mapping[str, Any]]", dataset)
    having = sum(column in row for row in rows)
    if having not in (0, len(rows)):
        raise TaskError(
            f"{where}: the column {column!r} is in {having} of {counted(len(rows), 'row')}; "
            "give it to all of them, or to none"
        )
    return [row[column] for row in rows] if having else None

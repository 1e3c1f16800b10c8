"""Tasks whose rows come from a stream: a bounded buffer of each, refilled as rows are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from mtgrpo.core.types import Draw, State
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.tasks.sources.dataset import DEFAULT, label_names, task_name

BUFFER = 1024
"""Rows that are kept of each task."""


class StreamedRows(Sequence[Mapping[str, Any]]):
    """The rows of a task by their place in its stream; only the newest are kept.

    Args:
        name: The task.
        read_more: Reads a row of any task into its buffer.
    """

    def __init__(self, name: str, read_more: Callable[[str], None]) -> None:
        self.name, self._read_more = name, read_more
        self._rows = deque[Mapping[str, Any]](maxlen=BUFFER)
        self._end = 0  # place behind the newest

    def append(self, row: Mapping[str, Any]) -> None:
        """Take in the next row; the oldest leaves a full buffer."""
        self._rows.append(row)
        self._end += 1

    @property
    def oldest(self) -> int:
        """Place of the oldest row that is still there."""
        return self._end - len(self._rows)

    def __len__(self) -> int:
        return BUFFER

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        while index >= self._end:
            self._read_more(self.name)
        if index < self.oldest:
            raise StateError(
                f"task {self.name!r}: row {index} of its stream has left the buffer of {BUFFER} "
                "rows; use a dataset with a length to keep groups for that long"
            )
        return self._rows[index - self.oldest]


class StreamedPrompts:
    """In place of a `PromptStream`: a task's prompts in the order of its stream.

    Args:
        rows: The task's.
    """

    memory = None

    def __init__(self, rows: StreamedRows) -> None:
        self.rows, self.name, self.size = rows, rows.name, len(rows)
        self._position = 0

    def draw(self, count: int) -> list[Draw]:
        """The next `count` prompts. Rows that left a full buffer unused are passed over."""
        draws: list[Draw] = []
        for _ in range(count):
            place = max(self._position, self.rows.oldest)
            self._position = place + 1
            draws.append(Draw(place))
        return draws

    def put_back(self, draws: Iterable[Draw]) -> None:
        """Take the last draws back, as if they had not been made."""
        self._position -= len(list(draws))

    def state_dict(self) -> State:
        """Name and place in the stream."""
        return {"name": self.name, "size": self.size, "position": self._position}

    def load_state_dict(self, state: State) -> None:
        """Go on at the saved place; the stream is read up to it again."""
        self._position = int(state["position"])


class _Reader:
    """Reads a stream again and again, and hands each row to its task."""

    def __init__(self, dataset: Iterable[Mapping[str, Any]], column: str | None) -> None:
        self.dataset, self.column = dataset, column
        self.rows: dict[str, StreamedRows] = {}
        self._iterator: Iterator[Mapping[str, Any]] | None = None
        self._since = 0  # rows since one was found for the task that waits

    def task_of(self, row: Mapping[str, Any]) -> str:
        if self.column is None or self.column not in row:
            return DEFAULT
        labels = label_names(self.dataset, self.column)
        return task_name(row[self.column], "train_dataset", self.column, labels)

    def next_row(self) -> Mapping[str, Any] | None:
        """The next row; None where the stream ends, after which it begins again."""
        if self._iterator is None:
            self._iterator = iter(self.dataset)
        row = next(self._iterator, None)
        if row is None:
            self._iterator = None
        elif "prompt" not in row:
            raise ConfigError(
                f"train_dataset: a row of the stream has no column 'prompt'; columns there are: "
                f"{', '.join(map(str, row))}"
            )
        return row

    def read_more(self, name: str) -> None:
        """Read until there is a row of this task."""
        num_ends = 0
        while True:
            row = self.next_row()
            if row is None:
                num_ends += 1
                if num_ends > 1:
                    raise StateError(
                        f"task {name!r}: its stream has no rows; give each task at least one"
                    )
                continue

            task = next(iter(self.rows)) if self.column is None else self.task_of(row)
            if task not in self.rows:
                raise ConfigError(
                    f"train_dataset: task {task!r} comes up after the first {BUFFER} rows of the "
                    "stream; tasks must be known from the start; give a mapping with a dataset "
                    "for each task"
                )
            self.rows[task].append(row)
            if task == name:
                return


def streams_of(dataset: Any, column: str) -> dict[str, StreamedRows]:
    """The rows of each task of an iterable dataset, or of a mapping with one for each task.

    With a column of task names, those of the first `BUFFER` rows are the tasks.

    Raises:
        ConfigError: A stream without rows, or a name that cannot be one.
    """
    if isinstance(dataset, Mapping):
        tasks: dict[str, StreamedRows] = {}
        for name, part in dataset.items():
            reader = _Reader(part, None)
            tasks[name] = reader.rows[name] = StreamedRows(name, reader.read_more)
        return tasks

    reader = _Reader(dataset, column)
    for _ in range(BUFFER):
        row = reader.next_row()
        if row is None:
            break
        name = reader.task_of(row)
        reader.rows.setdefault(name, StreamedRows(name, reader.read_more)).append(row)

    if not reader.rows:
        raise ConfigError("train_dataset: the stream has no rows; at least one is needed")
    return reader.rows

"""What TRL evaluates on: the tasks' test rows, each as often as it has samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from mtgrpo.integrations.trl.rollouts import InputRows


class TestRows(torch.utils.data.Dataset[dict[str, Any]]):
    """The test rows of all tasks, one task after the other; made when they are asked for.

    As with a dataset of the package ``datasets``, the name of a column gives its values, and
    `select` some of the rows: TRL's `LogCompletionsCallback` reads them so.

    Args:
        rows: The tasks' rows.
        places: Task and number of each; by default all there are.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, rows: InputRows, places: Sequence[tuple[str, int]] | None = None) -> None:
        self._rows = rows
        if places is None:
            places = [(task.name, i) for task in rows.tasks for i in range(len(task.test))]
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int | str) -> Any:
        if isinstance(place, str):
            return [self[i].get(place) for i in range(len(self))]
        return self._rows.test(*self._places[place])

    def select(self, places: Iterable[int]) -> TestRows:
        """Some of the rows."""
        return TestRows(self._rows, [self._places[place] for place in places])


class RepeatedInOrder(torch.utils.data.Sampler[int]):
    """Every index `times` times in a row, in order: the same for every run, whatever its seed."""

    def __init__(self, size: int, times: int) -> None:
        self.size, self.times = size, times

    def __iter__(self) -> Iterator[int]:
        return (i for i in range(self.size) for _ in range(self.times))

    def __len__(self) -> int:
        return self.size * self.times

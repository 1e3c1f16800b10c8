"""Rows that are made when they are looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, final, overload

from mtgrpo.errors import TaskError
from mtgrpo.tasks.scores import Row

T = TypeVar("T")


@final
class GeneratedRows(Sequence[Row]):
    """A fixed number of rows, each made by a function of its index when it is first looked at.

    Args:
        length: Number of rows.
        make: Makes row i. It must give the same row each time, whatever rows were made before.
        cache_size: Number of rows kept in memory, the last used ones.
    """

    __slots__ = ("_length", "_make")

    def __init__(self, length: int, make: Callable[[int], Row], cache_size: int = 1024) -> None:
        self._length = check_count("length", length)
        self._make = Cached(make, cache_size)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._length))]

        if not -self._length <= index < self._length:
            raise IndexError(f"row {index} of {self._length}")
        return self._make(index % self._length)

    def __repr__(self) -> str:
        return f"GeneratedRows({self._length})"


@final
class Cached(Generic[T]):
    """A function of an index that remembers its last used results.

    Args:
        fn: The function.
        size: Number of results that are remembered.
    """

    __slots__ = ("_fn", "_results", "_size")

    def __init__(self, fn: Callable[[int], T], size: int) -> None:
        self._fn = fn
        self._size = size
        self._results: OrderedDict[int, T] = OrderedDict()

    def __call__(self, index: int) -> T:
        if index in self._results:
            self._results.move_to_end(index)
            return self._results[index]

        result = self._results[index] = self._fn(index)
        if len(self._results) > self._size:
            self._results.popitem(last=False)
        return result


def check_count(where: str, count: object) -> int:
    """`count`, if it is a whole number from 0 on.

    Raises:
        TaskError: it is not.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise TaskError(f"{where}: found {count!r}; a whole number, 0 or more, is needed")
    return count

"""One task as TRL's own data loader hands it out: its rows, its order, its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from mtgrpo.core.types import Draw, State
from mtgrpo.errors import StateError


class LoaderRows(Sequence[Mapping[str, Any]]):
    """The rows of TRL's current generation batch, by their place among all processes' prompts.

    With one task and nothing to choose, there is no reason for an order other than TRL's.
    """

    def __init__(self) -> None:
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._first = 0

    def take(self, rows: Sequence[Mapping[str, Any]], process: int) -> None:
        """Take this process's prompts of the next generation batch."""
        self._rows, self._first = rows, process * len(rows)

    def __len__(self) -> int:
        return 1  # as many as there are is not known, but there are some

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        place = index - self._first
        if not 0 <= place < len(self._rows):
            raise StateError(
                f"rows: prompt {index} is not in the generation batch of this process; only rows "
                "of the current step can be read"
            )
        return self._rows[place]


class LoaderStream:
    """In place of a `PromptStream`: the prompts of TRL's generation batch, in its order."""

    memory = None
    size = 1

    def __init__(self, name: str, batch_size: int) -> None:
        self.name, self.batch_size = name, batch_size
        self._position = 0

    def draw(self, count: int) -> list[Draw]:
        """The next `count` prompts."""
        start, self._position = self._position, self._position + count
        return [Draw((start + i) % self.batch_size) for i in range(count)]

    def put_back(self, draws: Iterable[Draw]) -> None:
        """Take the last draws back."""
        self._position -= len(list(draws))

    def state_dict(self) -> State:
        """Nothing but the name: TRL's loader knows how far it is."""
        return {"name": self.name, "size": self.size}

    def load_state_dict(self, state: State) -> None:
        """TRL skips the batches that were used."""

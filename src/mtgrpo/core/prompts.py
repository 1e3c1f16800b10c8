"""Which prompt of a task comes next: each once per epoch, in an order that needs no memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.prompt_memory import PromptMemory
from mtgrpo.core.types import Draw, Group, State
from mtgrpo.errors import ConfigError, StateError


class PromptStream:
    """An endless, reproducible stream of row indices of one task.

    Each epoch is a fresh permutation of ``range(size)``, computed index by index with a
    keyed Feistel network, so state and memory are O(1) however many prompts the task
    has (with `remember`: a byte for each).

    Args:
        name: The task's name; part of the key, so tasks of one size get different orders.
        size: Number of prompts, at least 1.
        seed: Any integer.
        remember: Pass over prompts whose last groups were all right or all wrong, see
            `PromptMemory`. Tell `memory` of every group then.
        shuffle: Whether epochs are permuted; without it rows come in their order.
    """

    def __init__(
        self,
        name: str,
        size: int,
        seed: int = 0,
        *,
        remember: bool = False,
        shuffle: bool = True,
    ) -> None:
        self.name, self.seed, self.shuffle = name, seed, shuffle
        self._set_size(size)
        self.memory = PromptMemory(size) if remember else None
        self._coin_key = _number(f"{seed}\0coin\0{name}")
        self._position = 0

    def _set_size(self, size: int) -> None:
        if size < 1:
            raise ConfigError(f"task {self.name!r}: {size} training prompts; at least 1 is needed")
        self.size = size

        # The network permutes the numbers of twice so many bits.
        self._half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        # Four rounds are enough for large halves; with fewer than 4 bits they favour
        # some orders by a third.
        self._num_rounds = 4 if self._half_bits >= 4 else 8
        self._epoch, self._keys = -1, list[int]()

    def resize(self, size: int) -> None:
        """Go on with more or fewer rows: those added or taken away are the last ones.

        The stream goes on at the same place of the same epoch, in that epoch's permutation of the
        new size; where that place is gone, with the next epoch. The order then is that of a
        stream that has had the new size from the start. In the epoch under way some rows may
        come twice, or not at all.

        Args:
            size: Number of prompts from now on, at least 1.

        Raises:
            ConfigError: There is no prompt.
        """
        if size == self.size:
            return

        epoch, place = divmod(self._position, self.size)
        self._set_size(size)
        self._position = epoch * size + min(place, size)
        if self.memory is not None:
            self.memory.resize(size)

    def draw(self, count: int) -> list[Draw]:
        """The next `count` prompts; epochs follow each other without a gap."""
        return [self._next() for _ in range(count)]

    def draw_rows(self, count: int) -> list[int]:
        """The rows of the next `count` prompts, for engines that need nothing else of them."""
        return [draw.row for draw in self.draw(count)]

    def put_back(self, draws: Iterable[Draw]) -> None:
        """Take the last draws back, as if they had not been made.

        Args:
            draws: The stream's last ones, all of them unused; a memory must not have
                been told of them.
        """
        self._position -= sum(1 + draw.num_skipped for draw in draws)

    def _next(self) -> Draw:
        skipped = {0.0: 0, 1.0: 0}
        while True:  # ends: every chance is at least an eighth
            position = self._position
            self._position += 1

            row = self._row_at(position)
            if self.memory is None:
                return Draw(row)

            chance, predicted = self.memory.chance(row), self.memory.predicted(row)
            if predicted is None or chance >= 1 or self._coin(position) < chance:
                return Draw(row, chance, predicted, skipped[0.0], skipped[1.0])
            skipped[predicted] += 1

    def _coin(self, position: int) -> float:
        """In [0, 1), and the same whenever and wherever it is thrown for this position."""
        return (_mix(self._coin_key ^ _mix(position & _MASK64)) >> 11) / 2**53

    def _row_at(self, position: int) -> int:
        epoch, index = divmod(position, self.size)
        if not self.shuffle:
            return index
        if epoch != self._epoch:
            self._epoch, self._keys = epoch, self._epoch_keys(epoch)

        # Cycle walking: under four rounds on average, as the domain is less than four
        # times the size.
        while True:
            index = self._permute(index)
            if index < self.size:
                return index

    def _epoch_keys(self, epoch: int) -> list[int]:
        text = f"{self.seed}\0{epoch}\0{self.name}"
        digest = hashlib.blake2b(text.encode(), digest_size=64).digest()
        return [int.from_bytes(digest[8 * i : 8 * i + 8], "big") for i in range(self._num_rounds)]

    def _permute(self, index: int) -> int:
        left, right = index >> self._half_bits, index & self._mask
        for key in self._keys:
            mixed = _mix(right ^ key)
            left, right = right, left ^ ((mixed >> 32) & self._mask)
        return (left << self._half_bits) | right

    def state_dict(self) -> State:
        """Name, size, seed, the position in the stream and the memory."""
        state: State = {
            "name": self.name,
            "size": self.size,
            "seed": self.seed,
            "position": self._position,
        }
        if self.memory is not None:
            state["memory"] = self.memory.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Continue where a saved stream of the same task stood.

        Raises:
            StateError: The saved stream had another name, size or seed, or a memory
                where this one has none.
        """
        where = f"prompt stream of task {self.name!r}"
        for key in ("name", "size", "seed"):
            if state[key] != getattr(self, key):
                raise StateError(
                    f"{where}: saved {key} {state[key]!r}, now {getattr(self, key)!r}; "
                    "resume with the same rows and seed"
                )

        if (self.memory is not None) != ("memory" in state):
            saved, now = ("with", "without") if "memory" in state else ("without", "with")
            raise StateError(
                f"{where}: saved {saved} a prompt memory, now {now} one; "
                "resume with the same setting"
            )

        if self.memory is not None:
            self.memory.load_state_dict(state["memory"])

        self._position = int(state["position"])


def remember_groups(
    streams: Mapping[str, PromptStream], groups: Iterable[Group], informs: GroupFilter
) -> None:
    """Tell the streams' memories what came of their draws.

    Groups without a draw, those of a stream without a memory and graded ones, of which no reward
    can be foreseen, are passed over.

    Args:
        streams: By task name.
        groups: All that were generated, informative or not, in an order that all
            processes share.
        informs: Which of them carry a gradient.
    """
    for group in groups:
        memory = streams[group.task].memory
        if memory is not None and group.draw is not None and not group.is_graded:
            memory.note(group.draw, group.mean_accuracy, informs(group).keep)


def memory_metrics(streams: Mapping[str, PromptStream]) -> dict[str, float]:
    """What the prompt memories did since the last call; empty without them."""
    metrics: dict[str, float] = {}
    for name, stream in streams.items():
        if stream.memory is not None and (tally := stream.memory.end_step()).asked:
            metrics[f"task/{name}/prompts_skipped_rate"] = tally.skipped_rate
            metrics[f"task/{name}/acceptance_rate_unskipped"] = tally.acceptance_unskipped
    return metrics


_MASK64 = 0xFFFFFFFFFFFFFFFF


def _mix(value: int) -> int:
    """A 64-bit hash of an integer."""
    mixed = (value * 0x9E3779B97F4A7C15) & _MASK64
    mixed ^= mixed >> 29
    return (mixed * 0xBF58476D1CE4E5B9) & _MASK64


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

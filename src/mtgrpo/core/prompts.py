"""Which prompt of a task comes next: every prompt once per epoch, in a shuffled order that needs no memory."""

from __future__ import annotations

import hashlib

from mtgrpo.core.types import State
from mtgrpo.errors import ConfigError, StateError


class PromptStream:
    """An endless, reproducible stream of row indices of one task.

    Each epoch is a fresh permutation of ``range(size)``, computed index by index with a keyed Feistel network,
    so state and memory are O(1) however many prompts the task has.

    Args:
        name: The task's name; part of the key, so tasks of one size get different orders.
        size: Number of prompts, at least 1.
        seed: Any integer.
    """

    def __init__(self, name: str, size: int, seed: int = 0) -> None:
        if size < 1:
            raise ConfigError(f"task {name!r}: {size} training prompts; at least 1 is needed")
        self.name, self.size, self.seed = name, size, seed
        self._position = 0
        self._half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        # Four rounds are enough for large halves; with fewer than 4 bits they favour some orders by a third.
        self._num_rounds = 4 if self._half_bits >= 4 else 8
        self._epoch, self._keys = -1, list[int]()

    def draw(self, count: int) -> list[int]:
        """The next `count` row indices; epochs follow each other without a gap."""
        first, self._position = self._position, self._position + count
        return [self._at(i) for i in range(first, first + count)]

    def _at(self, position: int) -> int:
        epoch, index = divmod(position, self.size)
        if epoch != self._epoch:
            digest = hashlib.blake2b(f"{self.seed}\0{epoch}\0{self.name}".encode(), digest_size=64).digest()
            keys = [int.from_bytes(digest[8 * i : 8 * i + 8], "big") for i in range(self._num_rounds)]
            self._epoch, self._keys = epoch, keys
        while True:  # cycle walking: under four expected rounds, as the domain is less than four times the size
            index = self._permute(index)
            if index < self.size:
                return index

    def _permute(self, index: int) -> int:
        left, right = index >> self._half_bits, index & self._mask
        for key in self._keys:
            mixed = ((right ^ key) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
            mixed ^= mixed >> 29
            mixed = (mixed * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
            left, right = right, left ^ ((mixed >> 32) & self._mask)
        return (left << self._half_bits) | right

    def state_dict(self) -> State:
        """Name, size, seed and the position in the stream."""
        return {"name": self.name, "size": self.size, "seed": self.seed, "position": self._position}

    def load_state_dict(self, state: State) -> None:
        """Continue where a saved stream of the same task stood.

        Raises:
            StateError: The saved stream had another name, size or seed.
        """
        for key in ("name", "size", "seed"):
            if state[key] != getattr(self, key):
                raise StateError(
                    f"prompt stream of task {self.name!r}: saved {key} {state[key]!r}, now {getattr(self, key)!r}; "
                    "resume with the same rows and seed"
                )
        self._position = int(state["position"])

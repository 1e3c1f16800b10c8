r"""What the three compact families share: a problem, its split, and how it is drawn.

A problem is a function of (family, level, split, seed, index): each draw has a generator of its
own, so rows can be made in any order and on any machine. Train and test are disjoint for every
seed: a hash of a problem's `key` decides which split it belongs to, and a draw is repeated until
it is in the split asked for.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import NamedTuple

SPLITS = ("train", "test")
TEST_SHARE = 8
"""One problem in this many belongs to the test split."""


class Problem(NamedTuple):
    r"""One problem.

    Attributes:
        prompt: The text the model sees.
        answer: A right answer, as it stands in ``\boxed{...}``.
        key: What makes it this problem, in whatever order its parts are written; decides the
            split.
        kind: What sort of problem it is; the recipe teaches some kinds better than others.
        numbers: The given numbers (countdown only).
        target: The number to reach (countdown only).
    """

    prompt: str
    answer: str
    key: str
    kind: str
    numbers: tuple[int, ...] = ()
    target: int = 0


def split_of(key: str) -> str:
    """The split a problem belongs to."""
    return SPLITS[zlib.crc32(key.encode()) % TEST_SHARE == 0]


def draw(
    make: Callable[[random.Random], Problem], name: str, split: str, seed: int, index: int
) -> Problem:
    """The problem with this number.

    Args:
        make: Draws one problem from a generator.
        name: The task's name, such as ``countdown-easy``.
        split: ``train`` or ``test``.
        seed: Names one of infinitely many data sets.
        index: The number of the row.

    Returns:
        The same problem for the same arguments, in every process.
    """
    rng = random.Random(f"{name}/{split}/{seed}/{index}")

    while True:
        problem = make(rng)
        if split_of(problem.key) == split:
            return problem

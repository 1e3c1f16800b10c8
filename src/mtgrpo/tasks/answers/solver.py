"""An exact, bounded solver of Countdown: the oracle of tasks whose rows bring no solution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import TypeAlias

from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.columns import whole_number, whole_numbers
from mtgrpo.tasks.scores import Row

MAX_SOLVED = 6
"""Most numbers that are tried."""

_Value: TypeAlias = "int | Fraction"
_Table: TypeAlias = "dict[_Value, str]"
_TABLE_SIZE = 3  # subsets up to this size are listed in full; larger ones are searched backwards


def solve_countdown(numbers: Sequence[int], target: int) -> str | None:
    """An expression that uses every number once and has the value `target`.

    Whole intermediate values are tried first, fractions after that. At most `MAX_SOLVED` numbers.

    Returns:
        The expression, or None when there is none or there are too many numbers.
    """
    if not 1 <= len(numbers) <= MAX_SOLVED:
        return None

    everything = tuple(range(len(numbers)))
    for fractions in (False, True):
        expression = _Search(numbers, fractions).find(everything, target)
        if expression is not None:
            return expression
    return None


def countdown_oracle(row: Row) -> str:
    r"""A right completion of a row with the columns ``numbers`` and ``target``.

    Raises:
        ValueError: The row has no solution.
    """
    numbers = whole_numbers(row["numbers"], "countdown: numbers")
    target = whole_number(row["target"], "countdown: target")

    solution = solve_countdown(numbers, target)
    if solution is None:
        raise ValueError(f"no expression over {row['numbers']!r} has the value {row['target']!r}")
    return box(solution)


class _Search:
    """Finds expressions over subsets of the numbers, given as sorted tuples of positions."""

    def __init__(self, numbers: Sequence[int], fractions: bool) -> None:
        self.numbers = numbers
        self.fractions = fractions
        self.tables: dict[tuple[int, ...], _Table] = {}

    def find(self, subset: tuple[int, ...], target: _Value) -> str | None:
        if len(subset) <= _TABLE_SIZE:
            return self.table(subset).get(target)

        for small, rest in self.splits(subset):
            for value, text in self.table(small).items():
                for needed, join in self.needed(value, target):
                    expression = self.find(rest, needed)
                    if expression is not None:
                        return join(text, expression)
        return None

    def splits(self, subset: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Every way to part the subset in two, the smaller part first, even splits first."""
        for size in range(len(subset) // 2, 0, -1):
            for small in combinations(subset, size):
                yield small, tuple(i for i in subset if i not in small)

    def needed(
        self, a: _Value, target: _Value
    ) -> Iterator[tuple[_Value, Callable[[str, str], str]]]:
        """Every b, and how to write it, with ``a op b == target`` or ``b op a == target``."""
        yield target - a, lambda x, y: f"({x} + {y})"
        yield a - target, lambda x, y: f"({x} - {y})"
        yield target + a, lambda x, y: f"({y} - {x})"

        if a != 0 and (b := self.divide(target, a)) is not None:
            yield b, lambda x, y: f"({x} * {y})"
        if target != 0 and a != 0 and (b := self.divide(a, target)) is not None:
            yield b, lambda x, y: f"({x} / {y})"
        if a != 0:
            yield target * a, lambda x, y: f"({y} / {x})"

    def table(self, subset: tuple[int, ...]) -> _Table:
        """Every value the subset can make, with one expression for each."""
        if subset in self.tables:
            return self.tables[subset]

        made: _Table = {}
        if len(subset) == 1:
            made[self.numbers[subset[0]]] = str(self.numbers[subset[0]])

        for small, rest in self.splits(subset):
            for a, x in self.table(small).items():
                for b, y in self.table(rest).items():
                    made.setdefault(a + b, f"({x} + {y})")
                    made.setdefault(a - b, f"({x} - {y})")
                    made.setdefault(b - a, f"({y} - {x})")
                    made.setdefault(a * b, f"({x} * {y})")

                    if b != 0 and (c := self.divide(a, b)) is not None:
                        made.setdefault(c, f"({x} / {y})")
                    if a != 0 and (c := self.divide(b, a)) is not None:
                        made.setdefault(c, f"({y} / {x})")

        self.tables[subset] = made
        return made

    def divide(self, a: _Value, b: _Value) -> _Value | None:
        if self.fractions:
            return Fraction(a) / Fraction(b)
        return int(a // b) if a % b == 0 else None

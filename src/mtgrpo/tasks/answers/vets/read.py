"""Numbers, grids and JSON in answers. The whole text is read, or nothing is.

Every function is total: a text that is not what it should be gives None.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

MAX_NUMBER = 400
"""Longest number in characters."""

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)"
    r"(?:\.(?P<decimals>[0-9]*))?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    Attributes:
        value: Its exact value.
        unit: Value of a one in the last place that is written: 0.01 for ``3.10``, 1 for ``31``.
        digits: Significant digits that are written: 3 for ``3.10`` and for ``0.00310``.
    """

    value: Fraction
    unit: Fraction
    digits: int


def written(text: str) -> Number | None:
    """A decimal number, perhaps with a sign, an exponent, and commas between its thousands."""
    text = text.strip()
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER else None
    if match is None:
        return None

    whole = match["whole"].replace(",", "")
    decimals = match["decimals"] or ""
    digits = whole + decimals
    if not digits:
        return None

    unit = Fraction(10) ** (int(match["exponent"] or 0) - len(decimals))
    value = int(digits) * unit
    if match["sign"] == "-":
        value = -value
    return Number(value, unit, len(digits.lstrip("0")))


def number(text: str) -> Fraction | None:
    """The value of a decimal number, as in `written`."""
    given = written(text)
    return None if given is None else given.value


def fraction(text: str) -> Fraction | None:
    """A decimal number, or two whole ones with a slash between."""
    if "/" not in text:
        return number(text)

    top, _, bottom = (part.strip() for part in text.partition("/"))
    if not re.fullmatch(r"[+-]?[0-9]{1,300}", top) or not re.fullmatch(r"[0-9]{1,300}", bottom):
        return None
    return Fraction(int(top), int(bottom)) if int(bottom) else None


def rounds_to(given: Number, exact: Fraction, unit: Fraction) -> bool:
    """Whether `given` is `exact`, rounded to the places that are written, and to `unit` at least.

    ``2.67`` and ``2.6667`` are 8/3 to a unit of 0.01; ``2.7`` and ``2.6700`` are not. Ties may go
    either way. Places beyond the 13th digit of `exact` do not count: it may come from a float.
    """
    unit = max(min(given.unit, unit), abs(exact) / 10**13)
    return abs(given.value - exact) <= unit / 2


def grid(text: str) -> list[list[str]]:
    """The lines of a text, each as its words."""
    return [line.split() for line in lines(text)]


def lines(text: str) -> list[str]:
    """The lines of a text. Its ends do not count; a vertical tab ends none."""
    return text.strip().replace("\r\n", "\n").split("\n")


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return text.lower().split()


def json_value(text: str) -> Any:
    """The value of a JSON text; None when it is none, has NaN or infinity, or names a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key twice")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def same_json(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, ``true`` is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        left, right = cast("dict[str, Any]", a), cast("dict[str, Any]", b)
        return left.keys() == right.keys() and all(same_json(left[k], right[k]) for k in left)

    if isinstance(a, list) and isinstance(b, list):
        first, second = cast("list[Any]", a), cast("list[Any]", b)
        return len(first) == len(second) and all(map(same_json, first, second))

    return isinstance(a, bool) == isinstance(b, bool) and a == b


def lists_of_text(value: Any) -> list[list[str]] | None:
    """`value` as lists of texts, or None when it is anything else."""
    if not isinstance(value, list):
        return None

    rows: list[list[str]] = []
    for row in cast("list[Any]", value):
        if not isinstance(row, list):
            return None
        cells = cast("list[Any]", row)
        if not all(isinstance(cell, str) for cell in cells):
            return None
        rows.append(cells)
    return rows

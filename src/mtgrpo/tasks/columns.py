"""Columns of rows, as a reward needs them: what has one meaning is taken, all else is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from mtgrpo.errors import TaskError
from mtgrpo.tasks.numeric import as_whole


def whole_number(value: Any, where: str) -> int:
    """`value` as an int: 17, 17.0, numpy's 17 and the text "17" are one number.

    Raises:
        TaskError: it is no whole number; the message begins with `where`.
    """
    number = as_whole(value)
    if number is None:
        raise TaskError(f"{where}: {_shown(value)}; a whole number is needed")
    return number


def whole_numbers(values: Any, where: str) -> list[int]:
    """`values` as ints: a list, an array, or a text with commas such as "8,73,96".

    Raises:
        TaskError: it is no such thing, or a value is no whole number.
    """
    if isinstance(values, str):
        values = values.split(",")

    if not isinstance(values, Iterable):
        raise TaskError(f"{where}: {_shown(values)}; a list of whole numbers is needed")
    return [whole_number(value, where) for value in cast("Iterable[Any]", values)]


def answer_text(value: Any, where: str) -> str:
    """`value` as the text of an answer: a text, or a whole number such as JSON's 42.

    Other numbers are refused: 0.5 may be meant as .5, 0.50 or 1/2.

    Raises:
        TaskError: it is neither.
    """
    if isinstance(value, str):
        return value

    number = None if isinstance(value, float) else as_whole(value)
    if number is None:
        raise TaskError(f"{where}: {_shown(value)}; a text is needed")
    return str(number)


def _shown(value: Any) -> str:
    return f"{value!r} is a {type(value).__name__}"

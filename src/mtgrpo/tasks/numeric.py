"""What counts as a number."""

from __future__ import annotations

import re
from typing import Any

LARGEST = (2.0 - 2.0**-23) * 2.0**127
"""The largest number: engines keep numbers as float32."""
LARGEST_REWARD = 1e15
"""The largest reward: engines square and add rewards, as float32, to compare those of a group."""

_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,4000}\s*", re.ASCII)


def as_number(value: Any) -> float | None:
    """`value` as a finite float, or None when it is no number.

    Booleans of any library are 1 and 0; an array or tensor of one element is that element.
    Texts are no numbers, nor is what float32 cannot hold.
    """
    value = _element(value)
    if isinstance(value, (str, bytes, bytearray)):
        return None

    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a large tensor
        return None
    return number if abs(number) <= LARGEST else None  # also refuses NaN


def as_reward(value: Any) -> float | None:
    """`value` as a number that an engine can compute advantages with, or None."""
    number = as_number(value)
    if number is None or abs(number) > LARGEST_REWARD:
        return None
    return number


def as_whole(value: Any) -> int | None:
    """`value` as an int, or None when it is no whole number.

    17, 17.0, numpy's 17 and the text "17" are one number. 17.5 and booleans are none.
    """
    value = _element(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None

    number = as_number(value)
    if number is None or not number.is_integer():
        return None
    return int(value)


def _element(value: Any) -> Any:
    """The element of an array or tensor that has exactly one; anything else as it is."""
    item = getattr(value, "item", None)
    if not callable(item):
        return value

    try:
        return item()
    except (TypeError, ValueError, RuntimeError):  # of several elements, or none
        return value

"""Copies of row values, so that a reward can do with them what it likes."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any, cast

_IMMUTABLE = frozenset({str, int, float, bool, bytes, type(None)})


def own_copy(value: Any) -> Any:
    """`value` with containers of its own, all the way down.

    Lists, tuples, dicts, sets, deques and byte arrays are copied, those of subclasses too. What
    they hold in the end is not: arrays, tensors, images and other objects can be large, and are
    shared with everyone who has the row.
    """
    if type(value) in _IMMUTABLE:
        return value

    if isinstance(value, dict):
        of_same_kind = copy.copy(cast("dict[Any, Any]", value))
        for key, item in of_same_kind.items():
            of_same_kind[key] = own_copy(item)
        return of_same_kind

    if isinstance(value, (list, deque)):
        items = copy.copy(cast("list[Any]", value))
        for i, item in enumerate(items):
            if type(item) not in _IMMUTABLE:
                items[i] = own_copy(item)
        return items

    if isinstance(value, tuple):
        items = [own_copy(item) for item in cast("tuple[Any, ...]", value)]
        kind: Any = type(cast("object", value))
        return kind(*items) if hasattr(kind, "_fields") else tuple(items)  # named tuples unpack

    if isinstance(value, (set, bytearray)):
        return copy.copy(cast("Any", value))
    return value

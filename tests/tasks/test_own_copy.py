"""Own copies: containers are new at every depth, what they hold in the end is shared."""

from collections import Counter, OrderedDict, defaultdict, deque
from typing import NamedTuple

import numpy as np
import pytest

from mtgrpo.tasks.own_copy import own_copy


class Pair(NamedTuple):
    first: list[int]
    second: int


class Words(list):
    pass


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [1, [2, [3]], {"a": [4]}],
        {"a": {"b": [1]}, 2: (3, [4])},
        ([1], ([2],)),
        Pair([1], 2),
        {1, 2},
        bytearray(b"ab"),
        deque([[1], 2], maxlen=5),
        OrderedDict(a=[1]),
        Counter("aab"),
        defaultdict(list, a=[1]),
        Words([[1], 2]),
    ],
)
def test_equal_and_of_the_same_type(value):
    copied = own_copy(value)
    assert copied == value
    assert type(copied) is type(value)


def test_no_container_is_shared():
    value = {"a": [1, {"b": [2]}], "c": ([3],), "d": Pair([4], 5), "e": Words([[6]])}
    copied = own_copy(value)

    copied["a"][1]["b"].append(0)
    copied["a"].clear()
    copied["c"][0].clear()
    copied["d"].first.clear()
    copied["e"][0].clear()
    del copied["a"]
    assert value == {"a": [1, {"b": [2]}], "c": ([3],), "d": Pair([4], 5), "e": Words([[6]])}


def test_large_things_are_shared():
    array, thing = np.zeros(3), object()
    copied = own_copy({"image": [array], "thing": thing})
    assert copied["image"][0] is array
    assert copied["thing"] is thing

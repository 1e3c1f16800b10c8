"""What fits a declared type, what does not, and how that is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.values import check_type, parse_dataclass, shorten


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    counts: Sequence[int] = ()


@pytest.mark.parametrize(
    ("value", "annotation", "result"),
    [
        (3, float, 3.0),
        (3, int, 3),
        (np.float32(0.5), float, 0.5),
        (np.int64(3), int, 3),
        (3, float | None, 3),
        (None, float | None, None),
        ([1, 2], Sequence[int], [1, 2]),
        ((1, 2), Sequence[int], (1, 2)),
        ({"a": 1}, Mapping[str, float], {"a": 1}),
        ({"a": [1, None]}, Mapping[str, Any], {"a": [1, None]}),
        (len, Callable[..., int], len),
        (True, bool, True),
    ],
)
def test_what_fits_comes_back_as_python_writes_it(
    value: Any, annotation: Any, result: object
) -> None:
    checked = check_type(value, annotation, "here")
    assert checked == result
    assert type(checked) is type(result)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("x", int, "here: 'x' is text; a whole number is needed"),
        ("3", float, "here: '3' is text; a number is needed; no quotes"),
        (True, int, "here: True is true/false; a whole number is needed"),
        (1, bool, "here: 1 is a whole number; true or false is needed"),
        (None, str, "here: None is empty; text is needed"),
        (1.5, int | None, "here: 1.5 is a number; a whole number or null is needed"),
        ([1, "b"], Sequence[int], "here: [1, 'b'] is a list; a list of whole numbers is needed"),
        ("ab", Sequence[str], "here: 'ab' is text; a list of texts is needed"),
        (3, Mapping[str, Any], "here: 3 is a whole number; a mapping is needed"),
        (
            {"a": "x"},
            Mapping[str, float],
            "here: {'a': 'x'} is a mapping; a mapping of numbers is needed",
        ),
        (
            {3: 1.0},
            Mapping[str, float],
            "here: {3: 1.0} is a mapping; a mapping of numbers with text for keys is",
        ),
        (
            {"a": "x"},
            Mapping[str, float | None],
            "here: {'a': 'x'} is a mapping; a mapping whose values are a number or null is needed",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_words(value: Any, annotation: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_type(value, annotation, "here")
    assert str(caught.value).startswith(message)


def test_a_dataclass_is_made_of_nested_mappings() -> None:
    made = parse_dataclass(
        Outer, {"name": "a", "inner": {"rate": 1}, "maybe": None, "counts": [1]}, "here"
    )
    assert made == Outer("a", Inner(1.0), None, [1])
    assert parse_dataclass(Outer, {"name": "a", "maybe": {}}, "here").maybe == Inner()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "here: [1]; a mapping of keys to values is needed"),
        ({}, "here: the key 'name' is missing"),
        ({"nam": "a"}, "here: unknown key 'nam' (did you mean 'name'?)"),
        ({"name": 3}, "here: name: 3 is a whole number; text is needed"),
        ({"name": "a", "inner": None}, "here: inner: None; a mapping"),
        ({"name": "a", "inner": {"rat": 1}}, "here: inner: unknown key 'rat'"),
        ({"name": "a", "maybe": {"rate": "x"}}, "here: maybe: rate: 'x' is text"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_place(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dataclass(Outer, values, "here")
    assert str(caught.value).startswith(message)


def test_a_long_value_is_cut_and_on_one_line() -> None:
    for value in ("x" * 10_000, list(range(10_000)), dict.fromkeys(range(10_000), "x\n" * 5000)):
        with pytest.raises(ConfigError) as caught:
            check_type(value, int, "here")
        assert len(str(caught.value)) < 3000
        assert "\n" not in str(caught.value)
    assert shorten("two\nlines") == r"'two\nlines'"

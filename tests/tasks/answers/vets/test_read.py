from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.vets.read import (
    fraction,
    json_value,
    lists_of_text,
    number,
    rounds_to,
    same_json,
    written,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        (" -12.50 ", Fraction(-25, 2)),
        ("+.5", Fraction(1, 2)),
        ("5.", 5),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("1.5e-3", Fraction(3, 2000)),
        ("007", 7),
        *(
            (text, None)
            for text in ("", ".", "-", "e5", "1,2", "12,34", "1_000", "1 000", "٣", "１")
        ),
        *((text, None) for text in ("nan", "inf", "5x", "5 or 6", "--5", "1e9999", "9" * 500)),
    ],
)
def test_numbers(text: str, value: Fraction | None):
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/3", Fraction(1, 3)),
        ("-2 / 4", Fraction(-1, 2)),
        ("0.5", Fraction(1, 2)),
        *((text, None) for text in ("1/0", "1/2/3", "1/2 or 1/3", "1.5/2", "/")),
    ],
)
def test_fractions(text: str, value: Fraction | None):
    assert fraction(text) == value


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2.67", True),
        ("2.6667", True),
        ("2.666666666666666666", True),  # more than a float knows
        ("2.7", False),
        ("2.66", False),
        ("2.6700", False),
        ("2.68", False),
    ],
)
def test_a_rounding_is_right_to_the_places_it_shows(text: str, right: bool):
    given_number = written(text)
    assert given_number is not None
    assert rounds_to(given_number, Fraction(8, 3), Fraction(1, 100)) is right


def test_json_is_read_strictly():
    assert json_value('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    for text in ("", "{", '{"a": 1, "a": 1}', "[NaN]", "[Infinity]", "[" * 100_000, "'a'"):
        assert json_value(text) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ([1, {"x": 2}], [1.0, {"x": 2}], True),
        ([1], [True], False),
        ([0], [False], False),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True),
        ({"x": 1}, {"x": 1, "y": 2}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ("1", 1, False),
    ],
)
def test_same_json(a: object, b: object, same: bool):
    assert same_json(a, b) is same


def test_lists_of_text():
    assert lists_of_text([["a"], []]) == [["a"], []]
    for value in (None, "ab", ["ab"], [["a", 1]], [{"a": 1}], {"a": ["b"]}):
        assert lists_of_text(value) is None


@given(st.text(max_size=60) | st.text(alphabet="0123456789.,eE+-/ ", max_size=30))
def test_every_reader_is_total(text: str):
    value = number(text)
    assert value is None or fraction(text) == value
    json_value(text)

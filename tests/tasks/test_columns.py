"""Columns of rows: what has one meaning is taken, all else is one clear line."""

import numpy as np
import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks.columns import answer_text, whole_number, whole_numbers


@pytest.mark.parametrize(
    "values",
    [[8, 73], (8.0, 73.0), ["8", "73"], "8,73", "8, 73", np.array([8, 73]), np.array([8.0, 73.0])],
)
def test_numbers_in_many_types(values):
    assert whole_numbers(values, "here") == [8, 73]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (8, "here: 8 is a int; a list of whole numbers is needed"),
        (None, "here: None is a NoneType; a list"),
        ([8, 7.5], r"here: 7\.5 is a float; a whole number is needed"),
        ("8;73", "here: '8;73' is a str"),
        ([True], "here: True is a bool"),
    ],
)
def test_other_numbers_are_refused(values, message):
    with pytest.raises(TaskError, match=f"^{message}"):
        whole_numbers(values, "here")


def test_a_number_that_is_none_names_the_place():
    assert whole_number("17", "target") == 17
    with pytest.raises(TaskError, match=r"^target: 17\.5 is a float; a whole number is needed$"):
        whole_number(17.5, "target")


def test_answers_are_texts_or_whole_numbers():
    assert answer_text("0.5", "a") == "0.5"
    assert answer_text(42, "a") == answer_text(np.int64(42), "a") == "42"
    for other in (0.5, 42.0, True, None, ["a"]):
        with pytest.raises(TaskError, match=r"^a: .* a text is needed$"):
            answer_text(other, "a")

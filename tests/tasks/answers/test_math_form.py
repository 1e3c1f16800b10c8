"""The form of answers, with a comparison of expressions that knows nothing but their text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.math_form import MAX_UNORDERED, same_answer, tidy


def same_text(reference: str, answer: str) -> bool:
    return reference.replace(" ", "") == answer.replace(" ", "")


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        # bases
        ("4210_5", "4210_{5}", True),
        ("4210_5", "4210_6", False),
        ("4210_5", "4211_5", False),
        ("4210_5", "4210", True),  # the question says which base
        ("-221_3", "-221_{3}", True),
        ("-221_3", "221_3", False),
        ("101", "101_2", False),
        ("101", "101_{10}", True),
        # equations
        ("5", "x = 5", True),
        ("5", "x = y = 5", True),
        ("5", r"\angle ABC = 5", True),
        ("5", "4 = 5", False),
        ("5", "5 = 4", False),
        ("5", "x = 4 = 5", False),
        ("x = 5", "5", True),
        ("x = 5", "y = 5", False),
        ("y = 2x+3", "2x+3 = y", True),
        ("y = 2x+3", "z = 2x+3", False),
        (r"\pi", r"x = \pi", True),
        ("5", r"\pi = 5", False),
        # percent
        (r"12\%", r"12 \%", True),
        (r"12\%", "12", True),
        ("12", r"12\%", False),
        (r"\frac{12}{100}", r"12\%", True),
        # brackets
        (r"(1,\infty)", r"\left( 1, \infty \right)", True),
        (r"(1,\infty)", r"(1,\infty]", False),
        ("(1,2)", "[1,2]", False),
        ("(1,2)", r"\{1,2\}", False),
        (r"\{1,2\}", "(1,2)", False),
        (r"\{1,2\}", r"\{2,1\}", True),
        (r"\{1,2\}", "2,1", True),
        (r"\{1,2\}", r"\{1,2,3\}", False),
        (r"\{1,2\}", r"\{1,1\}", False),
        ("(1,2)", "(2,1)", False),
        ("(1,2)", "2,1", False),
        ("(1,2)", "1,2", True),
        ("1,2", "2,1", True),
        ("1,2", "(2,1)", False),
        ("1,2", "1", False),
        ("6, 7", r"7 \text{ and } 6", True),
        ("(1,2),(3,4)", "(3,4),(1,2)", True),
        ("(1,2),(3,4)", "(3,4),(2,1)", False),
        (r"(-\infty,2]\cup(3,4)", r"(3,4) \cup (-\infty,2]", True),
        (r"(-\infty,2]\cup(3,4)", r"(-\infty,2)\cup(3,4)", False),
        (r"(-\infty,2]\cup(3,4)", r"(-\infty,2]", False),
        (r"x \in [-2,7]", "[-2,7]", True),
        (r"x \in [-2,7]", "(-2,7]", False),
        ("x=2,y=3", "(2,3)", True),
        ("x=2,y=3", "y=3,x=2", True),
        ("x=2,y=3", "x=3,y=2", False),
        # matrices
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", False),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}", False),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1,2)", False),
        # what stands around
        ("17", "= 17.", True),
        ("1000", "1{,}000", False),  # here expressions are compared as text
        ("1,000", r"1,\!000", True),
        (r"\frac{1}{2}", r"\cfrac{1}{2}", True),
        ("7", r"7 \approx 6", False),
        ("7", r"7 \approx 7.02", True),
        (r"\sqrt{2}", r"\sqrt{2} \approx 1.41", True),
        (r"\sqrt{2}", r"\sqrt{2} \approx x", False),
        (r"\frac{22}{7}", r"\frac{22}{7} \approx 2", False),
        ("5", "", False),
        ("5", ".", False),
    ],
)  # fmt: skip
def test_same_answer(reference: str, answer: str, same: bool):
    assert same_answer(reference, answer, same_text) is same


def test_large_sets_are_compared_as_text_and_ask_nothing():
    many = ",".join(map(str, range(MAX_UNORDERED + 1)))

    def never(reference: str, answer: str) -> bool:
        raise AssertionError

    assert same_answer(rf"\{{{many}\}}", rf"\{{ {many} \}}", never)
    assert not same_answer(rf"\{{{many}\}}", rf"\{{{many}0\}}", never)


PIECES = [
    *("(", ")", "[", "]", r"\{", r"\}", "{", "}", ",", "=", r"\cup", r"\frac", "_", "5", "x", "."),
    *(r"\text{ and }", r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\\", r"\approx", "%", r"\%"),
    *(r"\alpha", r"\left", r"\!", "$", " ", "|", "f(x)", "'"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40))
def test_it_is_total(text: str):
    assert same_answer(text, text, same_text)
    assert same_answer("(1,2)", text, same_text) in (True, False)
    assert tidy(tidy(text)) is not None


@pytest.mark.parametrize("piece", PIECES)
def test_time_and_questions_are_bounded(piece: str):
    asked = 0

    def count(reference: str, answer: str) -> bool:
        nonlocal asked
        asked += 1
        return False

    start = time.perf_counter()
    text = (piece * 200)[:200]
    for reference in (
        "(1,2)",
        r"\{1,2,3\}",
        "x=5",
        "12_5",
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        text,
    ):
        same_answer(reference, text, count)
        same_answer(reference, text + "!", count)
    assert asked < 100
    assert time.perf_counter() - start < 1.0

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.arithmetic import MAX_DEPTH, MAX_NUMBERS, NotArithmetic, evaluate


@pytest.mark.parametrize(
    ("text", "value", "numbers"),
    [
        ("7", 7, [7]),
        ("1+2*3", 7, [1, 2, 3]),
        ("10-4-3", 3, [10, 4, 3]),
        ("16/4/2", 2, [16, 4, 2]),
        ("(1 + 2) * 3", 9, [1, 2, 3]),
        ("8/(3-8/3)", 24, [8, 3, 8, 3]),
        ("1/3", Fraction(1, 3), [1, 3]),
        ("-3 + 5", 2, [3, 5]),
        ("2*(-3+5)", 4, [2, 3, 5]),
        ("007", 7, [7]),
    ],
)
def test_values(text: str, value: Fraction, numbers: list[int]):
    assert evaluate(text) == (value, numbers)


@pytest.mark.parametrize(
    "text",
    ["", " ", "8.73", "2**3", "7//2", "--3", "+3", "3-+2", "2*-3", "(3", "3)", "3 4", "(3)(4)", "3x", "1e5", "1_000",
     "3!", "1/0", "1/(2-2)", "5%2", "()", "1+", "abs(3)", "0x1f", "٣", "3²", "1,000", "1" * 13],
)  # fmt: skip
def test_not_in_the_language(text: str):
    with pytest.raises(NotArithmetic):
        evaluate(text)


def test_limits():
    assert evaluate("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH) == (1, [1])
    with pytest.raises(NotArithmetic, match="deeply"):
        evaluate("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1))
    assert evaluate("+".join("1" * MAX_NUMBERS))[0] == MAX_NUMBERS
    with pytest.raises(NotArithmetic):
        evaluate("+".join("1" * (MAX_NUMBERS + 1)))
    start = time.perf_counter()
    evaluate("/".join(["999999999999"] * MAX_NUMBERS))
    for hostile in ("(" * 100_000, "1+" * 100_000, " " * 500_000 + "x", "9" * 500_000):
        with pytest.raises(NotArithmetic):
            evaluate(hostile)
    assert time.perf_counter() - start < 2.0


@given(st.text(alphabet="0123456789+-*/() .x\n", max_size=60))
def test_agrees_with_python_where_it_answers(text: str):
    try:
        value, numbers = evaluate(text)
    except NotArithmetic:
        return
    # Only digits, operators and parentheses are left: Python may evaluate it, on fractions.
    exact = "".join(
        f"F({int(t)})" if t.isdigit() else t for t in __import__("re").findall(r"\d+|\S", text)
    )
    assert value == eval(exact, {"F": Fraction})
    assert len(numbers) == exact.count("F")

"""The scorers against an independent oracle, hostile text, and the traps of the released rewards."""

import ast
import operator
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.errors import TaskError
from mtgrpo.tasks import Score, score_countdown, score_exact
from mtgrpo.tasks.answers.rewards import CORRECT, NO_ANSWER, WRONG

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def oracle(expression: str, numbers: list[int], target: int) -> bool:
    """Whether Python's own parser agrees: only + - * / over the given numbers, each once."""
    used: Counter[int] = Counter()

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used[node.value] += 1
            return Fraction(node.value)
        raise KeyError(node)

    try:
        result = value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, KeyError, ZeroDivisionError, ValueError):
        return False
    return result == target and used == Counter(numbers)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, list[int], Fraction]:
    """A right expression, its numbers, and its value."""
    numbers = draw(st.lists(st.integers(1, 100), min_size=1, max_size=6))
    parts = [(str(n), Fraction(n)) for n in numbers]
    while len(parts) > 1:
        (x, a), (y, b) = parts.pop(draw(st.integers(0, len(parts) - 1))), parts.pop()
        kind = draw(st.sampled_from("+-*/"))
        if kind == "/" and b == 0:
            kind = "+"
        sign = {
            "*": draw(st.sampled_from(["*", "\\times", "\\cdot ", "×"])),
            "/": draw(st.sampled_from(["/", "\\div"])),
        }
        made = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else Fraction(0)}[kind]
        parts.insert(0, (f"({x} {sign.get(kind, kind)} {y})", made))
    return parts[0][0], numbers, parts[0][1]


@given(expressions(), st.text(max_size=40), st.booleans())
def test_right_answers_score_one(
    made: tuple[str, list[int], Fraction], before: str, with_result: bool
):
    expression, numbers, value = made
    if value.denominator != 1:
        return
    suffix = f" = {value}" if with_result else ""
    for answer in (expression, f"${expression}$", f"\\left.{expression}".replace("\\left.", "")):
        text = f"{before}\n\\boxed{{{answer}{suffix}}} "
        assert score_countdown(text, numbers[::-1], int(value)) == CORRECT
    assert score_countdown(f"\\boxed{{{expression}}}", numbers, int(value) + 1) == WRONG
    assert score_countdown(f"\\boxed{{{expression}}}", [*numbers, 1], int(value)) == WRONG


@given(
    st.text(alphabet="0123456789+-*/() .", max_size=24),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.integers(-5, 60),
)
def test_never_one_for_a_wrong_answer(expression: str, numbers: list[int], target: int):
    score = score_countdown(f"\\boxed{{{expression}}}", numbers, target)
    if score == CORRECT:
        assert oracle(expression.replace("(", " (").replace(" ", ""), numbers, target)
    else:
        assert score == (WRONG if expression.strip() else NO_ANSWER)


@given(
    st.text() | st.text(alphabet="\\boxed{}0123456789+-*/()= $", max_size=80),
    st.integers(),
    st.text(),
)
def test_total(text: str, target: int, answer: str):
    for score in (score_countdown(text, [1, 2], target), score_exact(text, answer)):
        assert isinstance(score, Score)
        assert score in (CORRECT, WRONG, NO_ANSWER)
        assert score != CORRECT or "\\boxed" in text


# The traps of SPEC section 5: what the released rewards get wrong.
@pytest.mark.parametrize(
    ("text", "numbers", "target", "expected"),
    [
        ("\\boxed{8 + 73}\nSo that is it.", [8, 73], 81, CORRECT),  # only the last line was read
        ("\\boxed{96**73**8}", [8, 73, 96], 841, WRONG),  # hung
        ("\\boxed{9**2}", [9, 2], 81, WRONG),
        ("\\boxed{9//2}", [9, 2], 4, WRONG),
        ("\\boxed{8.73}", [8, 73], 9, WRONG),  # counted as 8 and 73
        ("\\boxed{873}", [8, 73], 873, WRONG),
        ("\\boxed{8  +  73}", [8, 73], 81, CORRECT),  # double spaces
        ("\\boxed{\\frac{8}{4} \\times 3}", [8, 4, 3], 6, CORRECT),
        ("\\boxed{\\text{ } 8 + 73 = 81}", [8, 73], 81, CORRECT),
        ("\\boxed{8 + 73 = 82}", [8, 73], 81, WRONG),
        ("\\boxed{8 + 73 = 81.}", [8, 73], 81, CORRECT),
        ("\\boxed{8 + 73.}", [8, 73], 81, CORRECT),
        ("\\boxed{8 x 73}", [8, 73], 584, CORRECT),
        ("\\boxed{\\cfrac{8}{4}}", [8, 4], 2, CORRECT),
        ("\\boxed{8 x}", [8], 8, WRONG),
        ("\\boxed{8 + 73 = 81 = 81}", [8, 73], 81, WRONG),
        ("\\boxed{8 + 73 = 73 + 8}", [8, 73], 81, WRONG),
        ("\\boxed{81}", [8, 73], 81, WRONG),
        ("\\boxed{8 + 8 + 65}", [8, 73], 81, WRONG),
        ("\\boxed{8 + 73 + 0}", [8, 73], 81, WRONG),
        ("\\boxed{8/3*3}", [8, 3, 3], 8, CORRECT),  # exact, where floats may not be
        ("\\boxed{8/0}", [8, 0], 8, WRONG),
        ("\\boxed{73 + 8} no: \\boxed{1}", [8, 73], 81, WRONG),
        ("8 + 73", [8, 73], 81, NO_ANSWER),
        ("\\boxed{__import__('os').system('true')}", [1], 0, WRONG),
        ("\\boxed{" + "1+" * 600 + "1}", [1], 601, NO_ANSWER),  # longer than any answer
    ],
)
def test_countdown_traps(text: str, numbers: list[int], target: int, expected: Score):
    assert score_countdown(text, numbers, target) == expected


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("\\boxed{Alice}", "alice", CORRECT),
        ("\\boxed{ \\text{ALICE} }", "alice", CORRECT),
        ("\\boxed{\\textbf{\\text{Alice}}}", "alice", CORRECT),
        ("\\boxed{ Alice\\ }", "alice", CORRECT),
        ("\\boxed{0 0  9\n9}", "0 0 9 9", CORRECT),
        ("\\boxed{alice bob}", "alice", WRONG),
        ("\\boxed{0 0 9}", "0 0 9 9", WRONG),
        ("\\boxed{0, 0, 9, 9}", "0 0 9 9", WRONG),
        ("alice", "alice", NO_ANSWER),
        ("\\boxed{}", "", NO_ANSWER),
        ("\\boxed{$$}", "", WRONG),
    ],
)
def test_exact(text: str, answer: str, expected: Score):
    assert score_exact(text, answer) == expected


@pytest.mark.parametrize(
    "piece", ["\\boxed{1+", "(", "\\frac{", "$", "{", "}", "\\boxed{1}", "9", "9**", "\\text{"]
)
def test_time_is_bounded(piece: str):
    long = piece * (500_000 // len(piece))
    start = time.perf_counter()
    for text in (long, f"\\boxed{{{long}}}", f"{long}\\boxed{{{piece * 100}}}"):
        score_countdown(text, [1, 2, 3], 6)
        score_exact(text, "alice")
    assert time.perf_counter() - start < 2.0


# ---- columns in other types --------------------------------------------------------------------------------
@pytest.mark.parametrize("target", [17, 17.0, "17", np.int64(17), np.float32(17)])
@pytest.mark.parametrize(
    "numbers", [[3, 4, 5], ["3", "4", "5"], [3.0, 4.0, 5.0], "3,4,5", np.array([3, 4, 5])]
)
def test_countdown_takes_every_type_with_one_meaning(numbers, target):
    for text in (r"\boxed{3*4+5}", r"\boxed{3*4+5 = 17}"):
        assert score_countdown(text, numbers, target) == (1.0, 1.0)
    assert score_countdown(r"\boxed{3*4-5}", numbers, target) == (0.1, 0.0)


@pytest.mark.parametrize("text", [r"\boxed{3*4+5}", "no answer"])
def test_countdown_refuses_the_others_whatever_the_answer_is(text):
    with pytest.raises(
        TaskError, match=r"^score_countdown: target: 17\.5 is a float; a whole number is needed"
    ):
        score_countdown(text, [3, 4, 5], 17.5)
    with pytest.raises(TaskError, match=r"^score_countdown: numbers: True is a bool"):
        score_countdown(text, [True, 4, 5], 17)


def test_exact_takes_json_numbers():
    assert score_exact(r"\boxed{42}", 42) == (1.0, 1.0)
    with pytest.raises(
        TaskError, match=r"^score_exact: answer: 42\.0 is a float; a text is needed"
    ):
        score_exact("no answer", 42.0)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.latex import as_arithmetic, plain_text, unwrap


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\text{Alice}", "Alice"),
        (r"$\mathrm{Alice}$", "Alice"),
        (r"\(Alice\)", "Alice"),
        ("  0  0\n9 ", "0 0 9"),
        (r"0\ 0\,9", "0 0 9"),
        (r"\left(1\right)", "(1)"),
        (r"\leftarrow", r"\leftarrow"),
        (r"\textbf{\text{Alice}}", "Alice"),
        (r" Alice\ ", "Alice"),
        (r"\mbox{Saturday}", "Saturday"),
    ],
)
def test_unwrap(text: str, plain: str):
    assert unwrap(text).replace("( ", "(").replace(" )", ")") == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"8 \times 3", "8 * 3"),
        (r"8\cdot3", "8*3"),
        (r"8 \div 3", "8 / 3"),
        ("8 × 3 ÷ 2 − 1", "8 * 3 / 2 - 1"),
        (r"\frac{8}{3}", "((8)/(3))"),
        (r"\dfrac{\frac{8}{4}}{2}", "((((8)/(4)))/(2))"),
        (r"\frac{1}{\frac{8}{4}}", "((1)/(((8)/(4))))"),
        (r"\frac{8}", r"\frac{8}"),
        (r"\frac12", r"\frac12"),
        (r"\timesheet", r"\timesheet"),
        ("{3+4}*2", "{3+4}*2"),
        ("3 x 4 X 5", "3 * 4 * 5"),
        ("3x4", "3*4"),
        ("exp", "exp"),
        (r"\cfrac{8}{3}", "((8)/(3))"),
        ("3 + 4 = 7.", "3 + 4 = 7"),
    ],
)
def test_as_arithmetic(text: str, plain: str):
    assert as_arithmetic(text) == plain


@given(
    st.lists(
        st.sampled_from(["\\frac", "{", "}", "1", "+", "\\text{", "$", "\\", "\\left(", " "]),
        max_size=200,
    )
)
def test_total(pieces: list[str]):
    as_arithmetic("".join(pieces))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\text{a b}", "a b"),
        (r" \textbf{\mathrm{a{b}c}} ", "a{b}c"),
        (r"\text{a} \text{b}", r"\text{a} \text{b}"),
        (r"\text{a", r"\text{a"),
        (r"\texture{a}", r"\texture{a}"),
        ("a", "a"),
    ],
)
def test_plain_text(text: str, plain: str):
    assert plain_text(text) == plain

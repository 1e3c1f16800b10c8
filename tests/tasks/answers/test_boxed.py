import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.boxed import MAX_ANSWER, box, has_box, last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{5}", "5"),
        (r"first \boxed{4}, then \boxed{5}. Done." + "\nand a last line", "5"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {5}", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{5}}", "5"),
        ("\\boxed{a\nb}", "a\nb"),
        ("", None),
        ("boxed{5}", None),
        (r"\boxed 5", None),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        (r"\boxed{  }", None),
        (r"\boxed{5} and \boxed{", None),
        (r"\boxed{5}. Put it in \boxed{}", None),
    ],
)
def test_last_box_counts(text: str, answer: str | None):
    assert last_boxed(text) == answer


def test_length_is_capped():
    assert last_boxed(box("x" * MAX_ANSWER)) == "x" * MAX_ANSWER
    assert last_boxed(box("x" * (MAX_ANSWER + 1))) is None


@given(st.text(alphabet=st.sampled_from("ab \\{}()") | st.characters(), max_size=60))
def test_total_and_inverse(text: str):
    found = last_boxed(text)
    assert found is None or found.strip()
    if "\\" not in text and "{" not in text and "}" not in text and text.strip():
        assert last_boxed(f"so {box(text)}.") == text


@pytest.mark.parametrize("piece", ["\\boxed{", "{", "}", "\\", "\\boxed" + " " * 40, "\\boxed{1}"])
def test_time_is_linear(piece: str):
    start = time.perf_counter()
    last_boxed(piece * (2_000_000 // len(piece)))
    assert time.perf_counter() - start < 2.0


def test_the_bare_word_opens_no_box():
    assert has_box(r"so \boxed {")
    assert not has_box(r"so \boxed 5 {")
    assert not has_box("")

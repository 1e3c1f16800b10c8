import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.extract import MAX_LENGTH, as_completion, extract_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>5</answer>", "5"),
        ("<answer>4</answer> no, <answer> 5\n</answer>", "5"),
        (r"\boxed{5}", "5"),
        (r"<answer>\boxed{5}</answer>", "5"),
        (r"\boxed{4} so <answer>5</answer>", "5"),
        (r"<answer>4</answer> so \boxed{5}", "5"),
        ("<answer>{[(</answer>", "{[("),
        ("<answer>5", None),
        ("5</answer>", None),
        (r"<answer>\boxed{</answer>", None),
        (r"<answer>5</answer> or \boxed{}", None),
        ("", None),
        (f"<answer>{'x' * (MAX_LENGTH + 1)}</answer>", None),
    ],
)
def test_what_stands_last_counts(text: str, answer: str | None):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<answer>5</answer> as asked, not in \boxed", "5"),
        (r"<answer>5</answer> \boxed 6", "5"),
        (r"<answer>5</answer> \boxed" + " " * 9 + "{6}", "5"),
        (r"<answer>\boxed 5</answer>", "5"),
        (r"<answer>5 \boxed</answer>", "5"),
        (r"<answer>\boxedwidth</answer>", r"\boxedwidth"),
    ],
)
def test_the_bare_word_is_no_box(text: str, answer: str):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{\text{Alice}}", "Alice"),
        (r"\boxed{\textbf{\text{Alice}}}", "Alice"),
        (r"\boxed{ Alice\ }", "Alice"),
        (r"<answer> Alice\ </answer>", "Alice"),
        (r"\boxed{\text{a} or \text{b}}", r"\text{a} or \text{b}"),
        ("<answer>#B\\</answer>", "#B\\"),  # a backslash may end an answer
    ],
)
def test_latex_around_all_of_it_is_left_out(text: str, answer: str):
    assert extract_answer(text) == answer


def test_empty_tags_are_an_empty_answer():
    assert extract_answer("<answer> </answer>") == ""
    assert extract_answer(as_completion("")) == ""


@given(st.text(alphabet="{}()\\ab<>/", min_size=1, max_size=20).filter(str.strip))
def test_as_completion_holds_any_answer(answer: str):
    if "answer>" not in answer and "\\boxed" not in answer:
        assert extract_answer(f"so {as_completion(answer)}") == answer.strip()


@pytest.mark.parametrize(
    "piece", ["<answer>", "</answer>", "\\boxed{", "<answer>\\boxed{", "\\boxed ", "\\text{", " "]
)
def test_time_is_bounded(piece: str):
    start = time.perf_counter()
    long = piece * (500_000 // len(piece))
    extract_answer(long)
    extract_answer(f"<answer>{piece * (MAX_LENGTH // len(piece))}</answer>")
    extract_answer(f"<answer>5</answer>{long}")
    assert time.perf_counter() - start < 2.0

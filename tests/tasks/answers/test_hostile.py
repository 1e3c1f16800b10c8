"""Hostile completions: a small run of the fuzz campaign, its judges on known cases, and bounds on time and memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks import Score, score_countdown, score_exact
from mtgrpo.tasks.answers.extract import extract_answer
from mtgrpo.tasks.answers.rewards import CORRECT

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def campaign(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz_scorers

    return fuzz_scorers


@pytest.mark.slow
def test_a_small_campaign_finds_nothing(tmp_path):
    command = [
        sys.executable,
        str(BENCHMARKS / "fuzz_scorers.py"),
        "--chunk",
        "1000",
        "--size",
        "3000",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tally = json.loads(done.stdout)
    assert tally["completions"] == 3000
    assert (
        tally["counts"].get("exceptions", 0) == tally["counts"].get("wrong_answers_scored", 0) == 0
    ), tally["found"]
    assert tally["counts"].get("right_answers_refused", 0) == 0, tally["found"]
    assert tally["by_scorer"]["tiny/countdown-easy"]["full"] > 0


def planted(text: str) -> Score:
    """A scorer with a hole: it does not mind which numbers are used."""
    for numbers in ([3, 4, 5], [7, 5], [12]):
        if score_countdown(text, numbers, 12) == CORRECT:
            return CORRECT
    return Score(0.0, 0.0)


def test_a_scorer_with_a_hole_is_found(campaign, monkeypatch, tmp_path):
    import fuzz_cases
    import fuzz_oracles

    def judge(text: str) -> bool:
        try:
            return fuzz_oracles.right_expression(fuzz_oracles.boxed(text), [3, 4, 5], 12)
        except fuzz_oracles.Unreadable:
            return False

    case = fuzz_cases.Case(
        "planted", "planted", "3+4+5", "arithmetic", planted, judge, others=["7+5", "12"]
    )
    monkeypatch.setattr(campaign, "all_cases", lambda number: [case])
    monkeypatch.setattr(campaign, "CHUNKS", tmp_path)
    tally = campaign.run_chunk(0, 300)
    assert tally["counts"]["wrong_answers_scored"] > 0
    assert tally["counts"]["exceptions"] == 0
    assert all(text.count("3") == 0 for _, _, text in tally["found"]["wrong_answers_scored"][:1])


def test_exceptions_are_found(campaign, monkeypatch, tmp_path):
    import fuzz_cases

    def score(text: str) -> Score:
        if "e9" in text:
            raise ValueError("boom")
        return Score(0.0, 0.0)

    case = fuzz_cases.Case(
        "planted", "planted", "3+4+5", "arithmetic", score, lambda text: False, others=["7+5"]
    )
    monkeypatch.setattr(campaign, "all_cases", lambda number: [case])
    monkeypatch.setattr(campaign, "CHUNKS", tmp_path)
    assert campaign.run_chunk(0, 500)["counts"]["exceptions"] > 0


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("3 * 4", False),  # 5 is not used
        ("(3 + 4) + 5", True),
        (r"3 + 4 + 5 = 12", True),
        ("3 + 4 + 5 = 13", False),
        (r"\frac{3}{4} + 5", False),
        (r"\left(3 + 4\right) + \text{5}", True),
        ("-3 + 4 + 5 + 6", False),
        ("-(3 - 4) + 5 + 6", False),
        ("3 + 4.0 + 5", False),
        ("3 ** 4 + 5", False),
        ("3 + 4 5", False),
        ("", False),
    ],
)
def test_the_judge_of_expressions(campaign, answer, right):
    import fuzz_oracles

    assert fuzz_oracles.right_expression(answer, [3, 4, 5], 12) is right


def test_the_judge_of_boxes_and_words(campaign):
    import fuzz_oracles as judge

    assert judge.boxed(r"\boxed{1} \boxed {a{b}\}c}") == r"a{b}\}c"
    for text in ("", r"\boxed", r"\boxed{", r"\boxed{a", "{a}"):
        with pytest.raises(judge.Unreadable):
            judge.boxed(text)
    assert judge.same_words(r"\boxed{\text{Alice}}", "alice")
    assert judge.same_words("\\boxed{$0 \\quad 0  9$}", "0 0 9")
    assert not judge.same_words(r"\boxed{00 9}", "0 0 9")
    assert not judge.same_words(r"\boxed{alice bob}", "alice")
    assert not judge.same_answer(r"\boxed{1e999999999}", "1")


PIECES = [
    "\\boxed{",
    "{",
    "}",
    "(",
    ")",
    "\\frac{",
    "\\text{",
    "9",
    "**",
    "-",
    "$",
    "<answer>",
    "</answer>",
    "\\left(",
]
SCORERS = {
    "countdown": lambda text: score_countdown(text, [3, 4, 5], 12),
    "exact": lambda text: score_exact(text, "0 0 9"),
    "answer": extract_answer,
}


@pytest.mark.parametrize("scorer", SCORERS)
@given(st.lists(st.sampled_from([*PIECES, "x", " ", "\x00", "\ud800", "٣", "\u202e"]), max_size=60))
def test_any_sequence_of_nasty_pieces_is_scored(scorer, pieces):
    result = SCORERS[scorer]("".join(pieces))
    if scorer == "answer":
        assert result is None or result == result.strip()
    else:
        assert result in ((0.0, 0.0), (0.1, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("piece", PIECES)
def test_time_and_memory_are_linear_in_the_length(scorer, piece):
    rng = random.Random(piece)
    text = piece * (400_000 // len(piece)) + "".join(rng.choice(PIECES) for _ in range(10_000))
    begin = time.thread_time()
    SCORERS[scorer](text)
    assert time.thread_time() - begin < 2.0  # takes milliseconds
    tracemalloc.start()
    SCORERS[scorer](text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(text)

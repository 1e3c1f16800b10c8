"""The process that compares answers: its time, its death, and what math-verify itself takes."""

from __future__ import annotations

import os
import signal

import pytest

pytest.importorskip("math_verify")
from mtgrpo.tasks.answers import math_equal
from mtgrpo.tasks.answers.math_equal import comparisons

BOMB = "9^{9^{9^{9}}}"


@pytest.mark.parametrize(
    ("reference", "answer", "equal"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"2\sqrt{3}", r"\sqrt{12}", True),
        ("x+1", "1+x", True),
        ("0.1", r"\frac{1}{10}", True),
        (r"\frac{1}{3}", "0.333333", False),  # math-verify rounds to six decimals
        ("0.5", "0.5000001", False),
        (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}", False),  # and drops what is small
        ("|x|=-3", "|x|=-4", False),  # neither has a solution
        ("x^2+y^2=4", "2x^2+2y^2=8", True),
        ("0", "0", True),
    ],
)
def test_comparisons(reference: str, answer: str, equal: bool):
    assert comparisons()(reference, answer) is equal


def process_id() -> int:
    process = math_equal._JUDGE._process
    assert process is not None
    return process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_was_killed_while_idle_is_replaced(number: signal.Signals):
    assert comparisons()("1", "1.0")
    before = process_id()
    os.kill(before, number)
    assert comparisons()("1", "1.0")
    assert process_id() != before


def test_the_terminals_interrupt_is_not_for_it():
    assert comparisons()("1", "1.0")
    before = process_id()
    os.kill(before, signal.SIGINT)
    assert comparisons()("1", "1.0")
    assert process_id() == before


def test_all_comparisons_of_an_answer_share_its_time(monkeypatch: pytest.MonkeyPatch):
    assert comparisons()("1", "1.0")
    monkeypatch.setattr(math_equal, "TIMEOUT_S", 0.3)
    equal = comparisons()
    assert equal("1", "1.0")
    before = process_id()
    assert not equal("1", BOMB)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)  # it was ended, and not started again for what follows
    assert math_equal._JUDGE._process is None
    assert not any(equal("1", "1.0") for _ in range(20))
    assert math_equal._JUDGE._process is None
    assert comparisons()("1", "1.0")

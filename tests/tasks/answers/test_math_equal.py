"""math-verify in a process of its own: verdicts survive signals, and hostile answers are just wrong."""

import os
import resource
import signal
import time

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.tasks.answers import math_equal as module
from mtgrpo.tasks.answers.math_equal import comparisons
from mtgrpo.tasks.sources.science import math_reward

pytest.importorskip("math_verify")


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


def judges_pid() -> int:
    warden = module._JUDGE._running_child()._process.pid
    with open(f"/proc/{warden}/task/{warden}/children") as file:
        return int(file.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_right_answer_is_right_after_a_signal(number):
    right = r"\boxed{\frac{1}{2}}"
    assert math_reward([right], ["0.5"]) == [1.0]
    os.kill(judges_pid(), number)
    assert math_reward([right], ["0.5"]) == [1.0]
    os.kill(judges_pid(), number)
    time.sleep(0.2)
    assert math_reward([right, r"\boxed{\frac{1}{3}}"], ["0.5", "0.5"]) == [1.0, 0.1]


def test_it_is_not_in_the_terminals_group():
    assert os.getpgid(judges_pid()) != os.getpgid(0)


def test_a_library_that_finds_nothing_equal_does_not_start(monkeypatch):
    """It would take every right answer for wrong."""

    class Broken:
        LatexExtractionConfig = dict

        @staticmethod
        def parse(*_, **__):
            raise ImportError("antlr4")

    monkeypatch.setattr(module, "require", lambda *_: Broken)
    monkeypatch.setattr(module, "open_channel", object)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(module.logging, "disable", lambda level: None)
    with pytest.raises(RewardError, match=r"does not find that 1/2 is 0\.5"):
        module.main()


def test_all_comparisons_of_an_answer_share_its_time(monkeypatch):
    assert comparisons()("1", "1.0")
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    equal = comparisons()
    assert equal("1", "1.0")
    assert not equal("1", BOMB)
    assert module._JUDGE._child is None  # it was ended, and not started again for what follows
    assert not any(equal("1", "1.0") for _ in range(20))
    assert module._JUDGE._child is None
    assert comparisons()("1", "1.0")

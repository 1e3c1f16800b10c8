"""math-verify in a process of its own: verdicts survive signals, and hostile answers are just wrong."""

import os
import resource
import signal
import time

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.tasks.answers import math_equal as module
from mtgrpo.tasks.sources.science import math_reward

pytest.importorskip("math_verify")


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

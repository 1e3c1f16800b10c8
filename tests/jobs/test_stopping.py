import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from mtgrpo.jobs.stopping import stop_on_signals

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
FORK = multiprocessing.get_context("fork")


def silent(line: str) -> None:
    raise AssertionError(line)


def test_what_a_reward_forks_can_be_terminated():
    """At once, in its sleep, and when it forked again."""
    with stop_on_signals(silent) as stop:
        for pause in (0.0, 0.1):
            process = FORK.Process(target=time.sleep, args=(60,))
            process.start()
            time.sleep(pause)
            process.terminate()
            process.join(20)
            assert process.exitcode == -signal.SIGTERM
        assert not stop.requested


def _terminate_a_fork_of_ours() -> None:
    process = FORK.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(20)
    os._exit(0 if process.exitcode == -signal.SIGTERM else 1)


def test_forks_of_forks_can_be_terminated():
    with stop_on_signals(silent):
        process = FORK.Process(target=_terminate_a_fork_of_ours)
        process.start()
        process.join(40)
        assert process.exitcode == 0


def _interrupt_myself() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)
    os._exit(7)


def test_forks_pass_over_the_interrupt_that_the_terminal_sends_to_all():
    """So that the step they work for can be finished."""
    with stop_on_signals(silent) as stop:
        process = FORK.Process(target=_interrupt_myself)
        process.start()
        process.join(20)
        assert process.exitcode == 7
        assert not stop.requested


@pytest.fixture
def interrupt_as_usual():
    """Not ignored, as it is for what a script starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupt_as_usual")
def test_programs_that_a_reward_starts_have_the_signals_as_usual():
    show = "import signal; print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))"
    usual = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    with stop_on_signals(silent):
        ours = subprocess.run(
            [sys.executable, "-c", show], capture_output=True, text=True, check=True
        )
    assert [line.split(" at ")[0] for line in ours.stdout.splitlines()] == [
        line.split(" at ")[0] for line in usual.stdout.splitlines()
    ]


def test_handlers_are_put_back_and_the_run_itself_still_stops():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(silent) as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_process_without_a_run_forks_as_usual():
    process = FORK.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(20)
    assert process.exitcode == -signal.SIGTERM

"""A judge whose process ends is no verdict: another process is asked, and only the answer's own doing counts."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.tasks.answers import judge as judge_module
from mtgrpo.tasks.answers.judge import Judge

# Finds even numbers right. A question in a text ends it, or says its process id.
CODE = """
import os, time
from mtgrpo.tasks.children.channel import open_channel
channel = open_channel()
channel.send("ready")
while (question := channel.receive()) is not None:
    if isinstance(question, list):
        how, path = question
        with open(path, "a") as file:
            file.write("x")
            tries = file.tell()
        if how == "hang":
            time.sleep(600)
        number, times = map(int, how.split())
        if tries <= times:
            os.kill(os.getpid(), number) if number else os._exit(7)
        question = 2
    if question == "pid":
        channel.send(os.getpid())
    else:
        channel.send(question % 2 == 0)
"""


@pytest.fixture
def judge():
    made = Judge("even numbers", CODE)
    yield made
    made.close()


def pid_of(judge) -> int:
    child = judge._running_child()
    child.send(judge_module.frame("pid"))
    return judge_module._next_message(child)


def test_verdicts_come_from_one_process(judge):
    first = pid_of(judge)
    assert [judge.ask(number) for number in range(4)] == [True, False, True, False]
    assert pid_of(judge) == first != os.getpid()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("delay_s", [0.0, 0.2])
def test_a_signal_while_it_is_idle_changes_no_verdict(judge, number, delay_s):
    for _ in range(2):
        os.kill(pid_of(judge), number)
        time.sleep(delay_s)
        assert judge.ask(4) is True
        assert judge.ask(5) is False


def test_its_warden_killed_changes_no_verdict(judge):
    pid_of(judge)
    os.kill(judge._child._process.pid, signal.SIGKILL)
    assert judge.ask(4) is True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, 0])
def test_ended_twice_in_the_middle_it_is_asked_again(judge, number, tmp_path):
    path = tmp_path / "tries"
    assert judge.ask([f"{int(number)} 2", str(path)]) is True
    assert path.read_text() == "xxx"


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (signal.SIGKILL, "signal 9"),
        (signal.SIGXCPU, f"signal {signal.SIGXCPU:d}"),
        (0, "exit code 7"),
    ],
)
def test_ended_again_and_again_from_outside_is_an_error_and_no_verdict(
    judge, number, ending, tmp_path
):
    path = tmp_path / "tries"
    with pytest.raises(
        RewardError,
        match=rf"^even numbers: its process ended 3 times .*\({ending}, {ending}, {ending}\)",
    ):
        judge.ask([f"{int(number)} 9", str(path)])
    assert path.read_text() == "xxx"
    assert judge.ask(4) is True


@pytest.mark.parametrize(
    ("number", "tries"), [(signal.SIGPROF, 1), (signal.SIGSEGV, 3), (signal.SIGABRT, 3)]
)
def test_a_question_that_ends_every_process_is_answered_no(judge, number, tries, tmp_path):
    path = tmp_path / "tries"
    assert judge.ask([f"{int(number)} 9", str(path)]) is False
    assert path.read_text() == "x" * tries


@pytest.mark.slow
def test_a_process_without_a_word_is_ended(judge, tmp_path, monkeypatch):
    """In the time that is left to it, a busy machine must be able to start the next process."""
    pid_of(judge)
    monkeypatch.setattr(judge_module, "WALL_S", 4.0)
    with pytest.raises(RewardError, match="no word for 4 s, no word for 4 s, no word for 4 s"):
        judge.ask(["hang", str(tmp_path / "tries")])


def test_a_process_that_does_not_start_is_an_error():
    with pytest.raises(
        RewardError, match=r"^nobody: its process does not start \(exit code 7\); see"
    ):
        Judge("nobody", "import os; os._exit(7)").ask(2)
    with pytest.raises(RewardError, match=r"does not start \(signal 9, signal 9, signal 9\)"):
        Judge("nobody", "import os; os.kill(os.getpid(), 9)").ask(2)


def test_threads_take_turns(judge):
    verdicts: dict[int, bool] = {}

    def ask(number: int) -> None:
        verdicts[number] = judge.ask(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {number: number % 2 == 0 for number in range(20)}


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_has_a_process_of_its_own(judge):
    pid = pid_of(judge)
    reader, writer = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.write(writer, b"%d %d" % (judge.ask(4), pid_of(judge)))
        judge.close()
        os._exit(0)
    os.waitpid(fork, 0)
    verdict, other = map(int, os.read(reader, 100).split())
    assert verdict == 1
    assert other != pid
    assert pid_of(judge) == pid
    for descriptor in (reader, writer):
        os.close(descriptor)


MATH = """
import os
from mtgrpo.tasks.answers import math_equal as module
from tests.tasks.answers.test_judge import pid_of
assert module.comparisons()("1", "1.0")
child = module._JUDGE._running_child()
print(child._process.pid, flush=True)
module.comparisons()("1", "9^{9^{9}}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's help")
def test_nothing_is_left_of_the_judge_of_a_killed_trainer():
    pytest.importorskip("math_verify")
    owner = subprocess.Popen([sys.executable, "-c", MATH], stdout=subprocess.PIPE, text=True)
    warden = owner.stdout.readline().strip()
    children = re.findall(r"\d+", read(f"/proc/{warden}/task/{warden}/children"))
    assert len(children) == 1
    owner.kill()
    owner.communicate()

    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if not any(os.path.exists(f"/proc/{pid}") for pid in (warden, *children)):
            return
        time.sleep(0.02)
    pytest.fail("the judge is still there")


def read(path: str) -> str:
    with open(path) as file:
        return file.read()

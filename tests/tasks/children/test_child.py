"""Children are ordinary processes, and nothing they started outlives them or their owner."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mtgrpo.tasks.children import child as child_module
from mtgrpo.tasks.children.channel import frame
from mtgrpo.tasks.children.child import ChildProcess, wait

from .served import CODE

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's help")
SOON_S = 60.0  # on a machine that does much else; what is waited for sleeps for 600 s


def ask(child: ChildProcess, message=None):
    """The answer, or None when the child ended first."""
    if message is not None:
        child.send(frame(message))
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        has_ended = child.ended
        answer = child.receive()
        if answer is not None or has_ended:
            return answer
        wait([child], 1.0)
    pytest.fail(f"no answer to {message!r}")


def start() -> ChildProcess:
    child = ChildProcess(CODE)
    assert ask(child) == "ready"
    return child


@pytest.fixture
def child():
    process = start()
    yield process
    process.kill()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # a zombie is not there any more
        return file.read().rpartition(")")[2].split()[0] != "Z"


def all_gone(pids) -> bool:
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        if not any(map(is_there, pids)):
            return True
        time.sleep(0.02)
    return False


def test_what_runs_in_it_has_an_empty_input_and_prints_to_stderr(capfd):
    child = start()
    assert ask(child, "stdin") == ["", ""]
    assert ask(child, "print") == "print"
    child.kill()
    assert capfd.readouterr() == ("", "to stderr\nalso\n")


def test_signals_for_everybody_do_not_disturb_it_but_end_what_it_starts(child):
    pids = ask(child, "pids")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        for pid in pids:
            os.kill(pid, number)
    assert ask(child, "pids") == pids
    assert ask(child, "terminate") == [-signal.SIGTERM, -signal.SIGTERM]


def test_it_is_not_in_the_terminals_group(child):
    pid, warden = ask(child, "pids")
    assert len({os.getpgid(0), os.getpgid(pid), os.getpgid(warden)}) == 3
    assert len({os.getsid(0), os.getsid(pid), os.getsid(warden)}) == 3


def test_signals_while_it_starts_do_not_end_it():
    child = ChildProcess(CODE)
    for _ in range(50):
        os.kill(child._process.pid, signal.SIGTERM)
        time.sleep(0.002)
    assert ask(child) == "ready"
    child.kill()


@LINUX
def test_what_it_starts_does_not_have_the_channel(child):
    assert ask(child, "inherited") == ["0", "1", "2", "3"]  # 3 is the listing's own


@LINUX
@pytest.mark.parametrize("end", ["hang", "crash", "leave a fork behind"])
def test_nothing_it_started_outlives_it(child, end):
    everybody = [*ask(child, "pids"), *ask(child, "family")]
    assert all(map(is_there, everybody))
    if end == "hang":
        child.send(frame("hang"))
        child.kill()
    else:
        assert ask(child, end) is None
    assert all_gone(everybody)


def test_how_it_ended_is_known_at_once(child):
    """Also when a process that it left behind holds on to the channel."""
    begin = time.monotonic()
    assert ask(child, "leave a fork behind") is None
    assert child.ending() == "exit code 3"
    assert child.ending_signal == 0
    assert time.monotonic() - begin < SOON_S

    other = start()
    assert ask(other, "crash") is None
    assert other.ending() == "signal 11"
    assert other.ending_signal == signal.SIGSEGV
    assert not other.alive
    other.kill()


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_owner(number):
    script = (
        "import time\n"
        "from mtgrpo.tasks.children.child import ChildProcess\n"
        "from tests.tasks.children.test_child import CODE, ask\n"
        "child = ChildProcess(CODE)\n"
        "ask(child)\n"
        "print(*ask(child, 'pids'), *ask(child, 'family'), flush=True)\n"
        "ask(child, 'hang')\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    everybody = list(map(int, owner.stdout.readline().split()))
    assert len(everybody) == 6
    owner.send_signal(number)
    owner.communicate()
    assert all_gone(everybody)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_of_the_owner_leaves_it_alone(child):
    pids = ask(child, "pids")
    fork = os.fork()
    if fork == 0:
        alive = child.alive
        child.kill()
        os._exit(int(alive))
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    assert child.alive
    assert ask(child, "pids") == pids


def test_it_ends_when_nobody_has_it_any_more():
    child = ChildProcess(CODE)
    pids = [child._process.pid]
    del child
    assert all_gone(pids)


def test_killed_twice_is_killed(child):
    child.kill()
    child.kill()
    assert child.ended
    assert not child.alive


def test_without_pidfds_it_is_slower_but_the_same(monkeypatch):
    monkeypatch.setattr(child_module, "open_pidfd", lambda pid: None)
    child = start()
    assert not child.end_is_watched
    assert ask(child, "leave a fork behind") is None
    assert child.ending() == "exit code 3"
    child.kill()


def test_a_program_that_cannot_be_started_leaves_no_descriptor(monkeypatch):
    monkeypatch.setattr(child_module.sys, "executable", "/no/such/python")
    before = os.listdir("/proc/self/fd") if sys.platform == "linux" else []
    with pytest.raises(FileNotFoundError):
        ChildProcess(CODE)
    assert (os.listdir("/proc/self/fd") if sys.platform == "linux" else []) == before

"""Stands between a program and its child process, and ends all that the child started.

A child may hang in C, crash, be killed, or lose its owner at any moment, and may have started
processes of its own, in sessions of their own. The warden does nothing but wait: for the child to
end, for its owner to end, or for a byte on the leash. Then it kills every descendant and ends as
the child did. On Linux it adopts orphans, so that none escapes; elsewhere it kills the child's
process group.

A script for the standard library alone, run by its path: it is there within milliseconds.
Arguments: the owner's process id, the file descriptor of the leash, those the child is to have
(with commas between them), and the child's command.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

SHIELDED = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__
)
"""Signals that a terminal or a scheduler sends to every process; they are the owner's business."""

_END_S = 10.0  # after which descendants that cannot be killed are left behind
_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main() -> None:
    """Start the child, wait, end everything, and end as the child did."""
    owner, leash = int(sys.argv[1]), int(sys.argv[2])
    kept = [int(number) for number in sys.argv[3].split(",")]
    command = sys.argv[4:]

    # Blocked, not ignored: an ignored signal would be ignored by the child's own children too.
    signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
    _control(_PR_SET_CHILD_SUBREAPER, 1)

    child = _start(command, leash)
    for descriptor in kept:
        os.close(descriptor)

    status = _wait(child, owner, leash)
    _end_descendants(child)
    _exit_as(status)


def open_pidfd(pid: int) -> int | None:
    """A file descriptor that can be read once the process has ended; None where there is none."""
    open_one = getattr(os, "pidfd_open", None)
    if open_one is None:
        return None
    try:
        return open_one(pid)
    except OSError:  # an old kernel, a sandbox, or no such process
        return None


def _start(command: list[str], leash: int) -> int:
    warden = os.getpid()
    child = os.fork()
    if child:
        return child

    # From here on in the child.
    try:
        os.close(leash)
        os.setsid()  # what it does to its process group must not hit the warden
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == warden:
            os.execv(command[0], command)
    finally:
        os._exit(127)


def _wait(child: int, owner: int, leash: int) -> int | None:
    """The child's exit status, or None when it has to be ended first."""
    poller = select.poll()
    poller.register(leash, select.POLLIN)

    pidfds = [open_pidfd(pid) for pid in (child, owner)]
    for descriptor in pidfds:
        if descriptor is not None:
            poller.register(descriptor, select.POLLIN)

    # Without descriptors for both, look often. With them, only orphans wait to be buried.
    interval_ms = 100 if None in pidfds else 5_000
    while os.getppid() == owner:
        events = poller.poll(interval_ms)

        for pid, status in _reap():
            if pid == child:
                return status
        if any(descriptor == leash for descriptor, _ in events):
            return None
    return None


def _reap() -> list[tuple[int, int]]:
    """Process ids and statuses of the children that have ended."""
    ended: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while (pair := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(pair)
    return ended


def _end_descendants(child: int) -> None:
    deadline = time.monotonic() + _END_S
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)

    while time.monotonic() < deadline:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:  # none is left
            return
        time.sleep(0.002)


def _descendants() -> list[int]:
    """Every process under this one, parents first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                children.setdefault(_parent(name), []).append(int(name))

    descendants: list[int] = []
    level = [os.getpid()]
    while level:
        level = [pid for parent in level for pid in children.get(parent, ())]
        descendants += level
    return descendants


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):  # it has ended meanwhile
        return 0


def _exit_as(status: int | None) -> None:
    code = 0 if status is None else os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)

    import resource

    number = -code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core file is enough
    with contextlib.suppress(OSError):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(1)


def _control(option: int, value: int) -> None:
    """Linux's prctl; nothing elsewhere."""
    if _LINUX:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()

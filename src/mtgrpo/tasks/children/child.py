"""A child process that serves this one and ends with it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, final

from mtgrpo.tasks.children.channel import Inbox
from mtgrpo.tasks.children.warden import SHIELDED, open_pidfd

_WARDEN = Path(__file__).with_name("warden.py")
_END_S = 30.0  # more than a warden takes
_LOOK_S = 0.1  # between two looks at a child whose end cannot be watched
_AT_ONCE = 2**20  # bytes


@final
class ChildProcess:
    """A Python process with a channel to this one. Its code begins with `channel.open_channel`.

    It is started anew, not forked, so that a program with threads or a GPU is safe. It has a
    session of its own, an empty standard input, and this process's standard error as its standard
    output. When this process ends, whatever the cause, it is killed with all that it started.

    Reading and writing never block: a child that hangs must not hang its owner.

    Args:
        code: What it runs.

    Attributes:
        unsent: Bytes that are still to be written.
    """

    def __init__(self, code: str) -> None:
        self.unsent = b""
        self._inbox = Inbox()
        self._owner = os.getpid()
        self._hung_up = False

        requests_in, self._requests = os.pipe()
        self._answers, answers_out = os.pipe()
        leash_in, self._leash = os.pipe()
        theirs = (leash_in, requests_in, answers_out)

        mine = [self._requests, self._answers, self._leash]

        channel = [str(requests_in), str(answers_out)]
        warden = [sys.executable, "-I", "-S", str(_WARDEN)]
        arguments = [str(self._owner), str(leash_in), ",".join(channel)]
        try:
            with _shielded():
                self._process = subprocess.Popen(
                    [*warden, *arguments, sys.executable, "-c", code, *channel],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    pass_fds=theirs,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
        except OSError:
            _close(mine)
            raise
        finally:
            _close(theirs)

        os.set_blocking(self._requests, False)
        os.set_blocking(self._answers, False)
        self._pidfd = open_pidfd(self._process.pid)
        if self._pidfd is not None:
            mine.append(self._pidfd)
        self._finalizer = weakref.finalize(
            self, _end, self._process, self._pidfd, self._leash, mine, self._owner
        )

    def __repr__(self) -> str:
        return f"ChildProcess(pid={self._process.pid})"

    @property
    def alive(self) -> bool:
        """Whether it runs, and is this process's own: a fork must not talk to its parent's."""
        return self._finalizer.alive and self._owner == os.getpid() and not self.ended

    @property
    def ended(self) -> bool:
        """Whether it has ended. Its last words may still be there to read."""
        if not self._finalizer.alive:
            return True
        if self._pidfd is None:
            return self._process.poll() is not None
        return _is_readable(self._pidfd, 0.0)

    def ending(self) -> str:
        """How it ended, such as ``"signal 9"``; waits for it."""
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    @property
    def ending_signal(self) -> int:
        """The signal that ended it; 0 for an ordinary end. Waits for it."""
        return max(0, -self._process.wait())

    def send(self, message: bytes = b"") -> None:
        """Write as much as fits of what is unsent and of a framed message."""
        self.unsent += message
        try:
            self.unsent = self.unsent[os.write(self._requests, self.unsent[:_AT_ONCE]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.unsent = b""  # it is gone, which `ended` says

    def receive(self) -> Any:
        """The next message, or None when none is complete."""
        while (message := self._inbox.take()) is None:
            try:
                piece = os.read(self._answers, _AT_ONCE)
            except BlockingIOError:
                return None
            if not piece:
                self._hung_up = True
                return None
            self._inbox.add(piece)
        return message

    @property
    def end_is_watched(self) -> bool:
        """Whether a poller notices its end; where not, look at `ended` every now and then."""
        return self._pidfd is not None

    def register(self, poller: select.poll) -> None:
        """Have a poller wait for what it writes, for room to write, and for its end."""
        if not self._hung_up:
            poller.register(self._answers, select.POLLIN)
        if self.unsent:
            poller.register(self._requests, select.POLLOUT)
        if self._pidfd is not None:
            poller.register(self._pidfd, select.POLLIN)

    def kill(self) -> None:
        """End it and all that it started, whatever they are doing."""
        self._finalizer()


def wait(children: Sequence[ChildProcess], timeout_s: float | None) -> None:
    """Wait until one of the children has written something, can be written to, or has ended."""
    poller = select.poll()
    for child in children:
        child.register(poller)
        if not child.end_is_watched:
            timeout_s = _LOOK_S if timeout_s is None else min(_LOOK_S, timeout_s)

    poller.poll(None if timeout_s is None else timeout_s * 1000.0)


@contextlib.contextmanager
def _shielded() -> Generator[None]:
    """Signals blocked in this thread, and in a process that is started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(
    process: subprocess.Popen[bytes],
    pidfd: int | None,
    leash: int,
    descriptors: Sequence[int],
    owner: int,
) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(BrokenPipeError):  # its warden has ended already
            os.write(leash, b".")

        if pidfd is not None:
            _is_readable(pidfd, _END_S)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    else:
        process.returncode = 0  # a fork's copy: not ours to wait for

    _close(descriptors)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000.0))

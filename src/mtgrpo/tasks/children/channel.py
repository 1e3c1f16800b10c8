"""Messages between a process and its child: JSON, each after its length. Nothing is unpickled."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, final

from mtgrpo.tasks.children.warden import SHIELDED

_HEADER = 8  # bytes that hold a message's length
_AT_ONCE = 2**20  # bytes


def frame(message: Any) -> bytes:
    """A message as it travels.

    Raises:
        TypeError: JSON cannot hold it. (ValueError when it contains itself.)
    """
    body = json.dumps(message, default=_plain).encode("ascii")
    return len(body).to_bytes(_HEADER, "big") + body


def _plain(value: Any) -> Any:
    to_list = getattr(value, "tolist", None)  # numpy's numbers and arrays
    if callable(to_list):
        return to_list()
    raise TypeError(f"a {type(value).__name__}")


@final
class Inbox:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, piece: bytes) -> None:
        """Take in what was read."""
        self._bytes += piece

    def take(self) -> Any:
        """The next message, or None while it is not complete."""
        if len(self._bytes) < _HEADER:
            return None
        end = _HEADER + int.from_bytes(self._bytes[:_HEADER], "big")
        if len(self._bytes) < end:
            return None

        message = json.loads(bytes(self._bytes[_HEADER:end]))
        del self._bytes[:end]
        return message


@final
class Channel:
    """The child's end: where it gets requests from and answers them.

    Standard input and output stay free for what runs in the child.

    Args:
        requests: A file descriptor to read from.
        answers: A file descriptor to write to.
    """

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._inbox = Inbox()

    def receive(self) -> Any:
        """The next message; None when there will be no more."""
        while (message := self._inbox.take()) is None:
            piece = os.read(self._requests, _AT_ONCE)
            if not piece:
                return None
            self._inbox.add(piece)
        return message

    def send(self, message: Any) -> None:
        """Write a message."""
        rest = memoryview(frame(message))
        while rest:
            rest = rest[os.write(self._answers, rest) :]

    def close(self) -> None:
        """Let go of both ends."""
        os.close(self._requests)
        os.close(self._answers)


def open_channel() -> Channel:
    """The channel to the process that started this one; call it first, and once.

    Signals that everybody gets are without effect from now on, in this process alone: what it
    starts has them as usual, and does not have the channel.
    """
    requests, answers = int(sys.argv[1]), int(sys.argv[2])
    channel = Channel(requests, answers)
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)

    # A handler, unlike an ignored signal, does not outlive `exec`.
    for number in SHIELDED:
        signal.signal(number, _pass_over)
        signal.siginterrupt(number, False)

    _leave_forks_alone(channel)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SHIELDED)
    return channel


def _leave_forks_alone(channel: Channel) -> None:
    """Let forks of this process, which keep its handlers, have the signals as usual."""
    thread = threading.local()  # several threads may fork

    def before() -> None:
        # A signal that comes before the handlers are gone waits until they are.
        thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)

    def after_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    def after_in_child() -> None:
        channel.close()
        for number in SHIELDED:
            if signal.getsignal(number) is _pass_over:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )


def _pass_over(number: int, _: Any) -> None:
    """The owner of this process decides when it ends."""

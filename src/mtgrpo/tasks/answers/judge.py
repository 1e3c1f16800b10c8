"""A judge of answers in a process of its own, which an answer may hang, crash or blow up."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any, final

from mtgrpo.errors import RewardError
from mtgrpo.tasks.children.channel import frame
from mtgrpo.tasks.children.child import ChildProcess, wait

MAX_TRIES = 3
"""Number of processes that are asked for one verdict."""
WALL_S = 300.0
"""Seconds by the clock that a process may take to start, or for a verdict."""

# The process crashed: it ran into its limits, or a library in C fell over the answer.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


@final
class Judge:
    """Asks a process, which is started when it is first needed and again when it has ended.

    A process that ends is no verdict: another one is asked. Only where the question itself ends it,
    because it takes too much time or crashes every process, the answer is wrong.

    Args:
        name: Begins error messages.
        code: What the process runs. It sends ``"ready"``, and a verdict for each question; the
            kernel ends it with SIGPROF when a question takes too much processor time.
    """

    def __init__(self, name: str, code: str) -> None:
        self._name = name
        self._code = code
        self._child: ChildProcess | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Judge({self._name!r})"

    def ask(self, question: Any) -> Any:
        """The verdict as the process sends it; False where the question ends every process.

        Args:
            question: What JSON can hold.

        Raises:
            RewardError: The process does not start, or is ended from outside again and again.
        """
        endings: list[str] = []
        num_crashes = 0

        with self._lock:
            while len(endings) < MAX_TRIES:
                child = self._running_child()
                child.send(frame(question))
                verdict = _next_message(child)
                if verdict is not None:
                    return verdict

                ending, ended_by = self._end(child)
                endings.append(ending)
                if ended_by == signal.SIGPROF:
                    return False
                num_crashes += ended_by in _CRASHES

        if num_crashes == MAX_TRIES:
            return False
        raise RewardError(
            f"{self._name}: its process ended {MAX_TRIES} times without a verdict "
            f"({', '.join(endings)}); see what ends it, and resume"
        )

    def close(self) -> None:
        """End the process; `ask` starts a new one."""
        with self._lock:
            if self._child is not None:
                self._end(self._child)

    def _running_child(self) -> ChildProcess:
        if self._child is not None and self._child.alive:
            return self._child

        endings: list[str] = []
        while len(endings) < MAX_TRIES:
            child = self._child = ChildProcess(self._code)
            if _next_message(child) == "ready":
                return child

            ending, ended_by = self._end(child)
            endings.append(ending)
            if not ended_by:
                break
        raise RewardError(
            f"{self._name}: its process does not start ({', '.join(endings)}); see stderr"
        )

    def _end(self, child: ChildProcess) -> tuple[str, int]:
        """End the process. How it had ended before, in words, and the signal that ended it."""
        self._child = None
        had_ended = child.ended
        child.kill()

        if had_ended:
            return child.ending(), child.ending_signal
        return f"no word for {WALL_S:g} s", 0


def _next_message(child: ChildProcess) -> Any:
    """The next message, or None when the child has ended or says nothing."""
    deadline = time.monotonic() + WALL_S

    while (left := deadline - time.monotonic()) > 0:
        if child.unsent:
            child.send()
        has_ended = child.ended  # asked first: what it said before it ended counts
        message = child.receive()
        if message is not None or has_ended:
            return message
        wait([child], left)
    return None

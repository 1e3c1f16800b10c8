"""One process that a reward runs in: what it is given, and what came of it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, final

from mtgrpo.errors import MissingExtra, TaskError
from mtgrpo.tasks.children.child import ChildProcess
from mtgrpo.tasks.scores import Score

START_S = 300.0
"""Seconds a process may take to import its reward."""
_CODE = "from mtgrpo.tasks.scoring.worker import main; main()"


class Outcome(NamedTuple):
    """What came of a call.

    Attributes:
        scores: One for each completion; None when the call failed.
        error: What went wrong.
        seconds: Time in the reward function.
        is_lost: Whether the process ended before it took the call up. This says nothing about the
            call: another process can have it.
    """

    scores: list[Score] | None
    error: str
    seconds: float
    is_lost: bool = False


@final
class RewardProcess:
    """A process with one task's reward.

    Args:
        task: The task's name.
        hello: The framed message that says how to get its reward.
        timeout_s: Seconds that a call may take; None is no limit.

    Attributes:
        task: The task's name.
        child: The process.
        call: Number of the call it works on, as its owner counts them.
    """

    def __init__(self, task: str, hello: bytes, timeout_s: float | None) -> None:
        self.task = task
        self.child = ChildProcess(_CODE)
        self.call = -1
        self._timeout_s = timeout_s
        self._is_ready = False
        self._has_begun = False
        self._since = time.monotonic()
        self.child.send(hello)

    def __repr__(self) -> str:
        return f"RewardProcess({self.task!r}, {self.child!r})"

    def assign(self, call: int, message: bytes) -> None:
        """Give it a call; it is sent as soon as the process reads."""
        self.call = call
        self._has_begun = False
        if self._is_ready:
            self._since = time.monotonic()
        self.child.send(message)

    @property
    def deadline(self) -> float:
        """When it has to be done with what it is doing, on the monotonic clock."""
        if not self._is_ready:
            return self._since + START_S
        return float("inf") if self._timeout_s is None else self._since + self._timeout_s

    def outcome(self) -> Outcome | None:
        """What came of the call, None while it runs. A process that failed has been killed.

        Raises:
            TaskError: the reward is not to be had, or not in time.
            MissingExtra: it needs a package that is not installed.
        """
        if self.child.unsent:
            self.child.send()

        has_ended = self.child.ended  # asked first: what it said before it ended counts
        while (answer := self.child.receive()) is not None:
            outcome = self._read(answer)
            if outcome is not None:
                return outcome

        if has_ended:
            return self._end()
        if time.monotonic() >= self.deadline:
            return self._stop()
        return None

    def _read(self, answer: dict[str, Any]) -> Outcome | None:
        if "begun" in answer:
            self._has_begun = True
            self._since = time.monotonic()
            return None

        if "missing" in answer:
            raise MissingExtra(answer["missing"])

        if "ready" in answer:
            self._is_ready = True
            self._since = time.monotonic()  # the call's own time begins
            return None

        if not self._is_ready:
            raise TaskError(
                f"task {self.task!r}: its reward process cannot start: {answer['error']}"
            )

        if "error" in answer:
            return Outcome(None, answer["error"], answer["seconds"])
        return Outcome([Score(*pair) for pair in answer["scores"]], "", answer["seconds"])

    def _end(self) -> Outcome:
        """The outcome of a process that has ended."""
        seconds = time.monotonic() - self._since
        ending, was_killed = self.child.ending(), self.child.ending_signal > 0
        self.child.kill()

        if self._has_begun:
            error = f"its process ended in the middle of the call ({ending})"
            return Outcome(None, error, seconds)
        if self._is_ready or was_killed:
            error = f"its process ended before the call began ({ending})"
            return Outcome(None, error, seconds, is_lost=True)
        raise TaskError(f"task {self.task!r}: its reward process ended while it started ({ending})")

    def _stop(self) -> Outcome:
        """The outcome of a process that takes too long."""
        seconds = time.monotonic() - self._since
        self.child.kill()

        if not self._is_ready:
            raise TaskError(f"task {self.task!r}: its reward was not imported within {START_S:g} s")
        error = f"no answer within timeout_s={self._timeout_s:g} s; the call was stopped"
        return Outcome(None, error, seconds)

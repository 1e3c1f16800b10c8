"""Rewards in processes of their own: several at a time, and stopped when they take too long.

A process gets its reward by where it is defined: a function at the top of a module or of a ``.py`` file, as it is or
wrapped in `each`, or whatever a configuration entry makes. It is started anew, not forked, so that a trainer with
threads or a GPU is safe. Rows must be what JSON can hold.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast, final

from mtgrpo.errors import MissingExtra, RewardError, TaskError
from mtgrpo.tasks.scores import Completion, Row, Score
from mtgrpo.tasks.scoring.recipe import reward_recipe
from mtgrpo.tasks.scoring.worker import HEADER, frame
from mtgrpo.tasks.task import Task

START_S = 300.0
"""Seconds a process may take to import its reward."""
_CODE = "from mtgrpo.tasks.scoring.worker import main; main()"


class Call(NamedTuple):
    """One group to score.

    Attributes:
        task: Name of its task.
        row: Its row.
        completions: Its completions.
        row_index: The number that names the row in messages.
    """

    task: str
    row: Row
    completions: Sequence[Completion]
    row_index: int


class Outcome(NamedTuple):
    """What came of a call.

    Attributes:
        scores: One for each completion; None when the call failed.
        error: What went wrong.
        seconds: Time in the reward function.
    """

    scores: list[Score] | None
    error: str
    seconds: float


@final
class RewardProcesses:
    """The processes of several tasks. They are started when there is work, and end with this object or this process.

    Args:
        tasks: Tasks whose ``scoring.num_processes`` is above 0.

    Raises:
        TaskError: the reward of a task cannot be had in another process, or this system has no such processes.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = {task.name: task for task in tasks}
        if self._tasks and os.name != "posix":
            raise TaskError(
                "scoring.num_processes: reward processes need a POSIX system; leave it out here"
            )
        self._hello = {name: self._frame_hello(task) for name, task in self._tasks.items()}
        self._idle: dict[str, list[_Worker]] = {name: [] for name in self._tasks}
        self._busy: list[_Worker] = []
        self._finalizer = weakref.finalize(self, _kill, self._idle, self._busy)

    def run(self, calls: Sequence[Call]) -> list[Outcome]:
        """Score groups, those of a task in its processes.

        Returns:
            One outcome per call, in order.

        Raises:
            TaskError: JSON cannot hold a row, or a reward cannot be imported.
            MissingExtra: a reward needs a package that is not installed.
        """
        outcomes: dict[int, Outcome] = {}
        waiting: dict[str, deque[int]] = {}
        for i, call in enumerate(calls):
            waiting.setdefault(call.task, deque()).append(i)
        try:
            while len(outcomes) < len(calls):
                for name, queue in waiting.items():
                    while queue and (worker := self._free(name)) is not None:
                        worker.assign(queue[0], _frame_call(calls[queue[0]]))
                        queue.popleft()
                self._wait()
                for worker in list(self._busy):
                    outcome = worker.outcome(self._tasks[worker.task].scoring.timeout_s)
                    if outcome is not None:
                        self._busy.remove(worker)
                        outcomes[worker.call] = outcome
                        if worker.alive:
                            self._idle[worker.task].append(worker)
        finally:
            for (
                worker
            ) in self._busy:  # something was raised: what they are doing is not wanted any more
                worker.kill()
            self._busy.clear()
        return [outcomes[i] for i in range(len(calls))]

    def close(self) -> None:
        """End all processes; `run` starts new ones."""
        _kill(self._idle, self._busy)

    def _free(self, name: str) -> _Worker | None:
        """A process that can take a call: an idle one, or a new one while there may be more."""
        worker = None
        while worker is None and self._idle[name]:
            worker = self._idle[name].pop()
            if not worker.alive:  # ended meanwhile, by the system's memory killer, say
                worker.kill()
                worker = None
        if (
            worker is None
            and sum(w.task == name for w in self._busy) < self._tasks[name].scoring.num_processes
        ):
            worker = _Worker(name, self._hello[name])
        if worker is not None:
            self._busy.append(worker)
        return worker

    def _wait(self) -> None:
        """Until a process can be read from or written to, or the first deadline."""
        with selectors.DefaultSelector() as selector:
            for worker in self._busy:
                selector.register(worker.output, selectors.EVENT_READ, worker.receive)
                if worker.unsent:
                    selector.register(worker.input, selectors.EVENT_WRITE, worker.send)
            limits = [self._tasks[w.task].scoring.timeout_s for w in self._busy]
            first = min(w.deadline(limit) for w, limit in zip(self._busy, limits, strict=True))
            for key, _ in selector.select(
                None if first == float("inf") else max(0.0, first - time.monotonic())
            ):
                key.data()

    def _frame_hello(self, task: Task) -> bytes:
        return frame(
            {"name": task.name, "recipe": reward_recipe(task), "correct_at": task.correct_at}
        )


@final
class _Worker:
    """One process. Its pipes never block: a reward that hangs must not hang the trainer."""

    def __init__(self, task: str, hello: bytes) -> None:
        self.task, self.call = task, -1
        self.unsent, self._received, self._ended = hello, b"", False
        self._ready, self._since = False, time.monotonic()
        # The kernel's signal comes when the *thread* that starts a process ends.
        way = (
            "signal"
            if sys.platform == "linux" and threading.current_thread() is threading.main_thread()
            else "watch"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(os.getpid()), way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.input, self.output = (
            cast("Any", self._process.stdin),
            cast("Any", self._process.stdout),
        )
        os.set_blocking(self.input.fileno(), False)
        os.set_blocking(self.output.fileno(), False)

    @property
    def alive(self) -> bool:
        """Whether it can take another call."""
        return not self._ended and self._process.poll() is None

    def assign(self, call: int, message: bytes) -> None:
        """Give it a call; it is sent as soon as the process reads."""
        self.call = call
        self.unsent += message
        if self._ready:
            self._since = time.monotonic()

    def deadline(self, timeout_s: float | None) -> float:
        """When it has to be done with what it is doing."""
        if not self._ready:
            return self._since + START_S
        return float("inf") if timeout_s is None else self._since + timeout_s

    def send(self) -> None:
        """Write what fits."""
        try:
            self.unsent = self.unsent[os.write(self.input.fileno(), self.unsent[: 2**20]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.unsent = b""  # it is gone; `receive` notices

    def receive(self) -> None:
        """Read what is there."""
        try:
            part = os.read(self.output.fileno(), 2**20)
        except BlockingIOError:
            return
        self._received += part
        self._ended = not part

    def outcome(self, timeout_s: float | None) -> Outcome | None:
        """What came of the call, None while it runs.

        Raises:
            TaskError: the reward cannot be had, or not in time.
            MissingExtra: it needs a package that is not installed.
        """
        while (answer := self._answer()) is not None:
            if "missing" in answer:
                raise MissingExtra(answer["missing"])
            if "ready" in answer:
                self._ready, self._since = True, time.monotonic()  # the call's own time begins
                continue
            if not self._ready:
                raise TaskError(
                    f"task {self.task!r}: its reward process cannot start: {answer['error']}"
                )
            if "error" in answer:
                return Outcome(None, answer["error"], answer["seconds"])
            return Outcome([Score(*pair) for pair in answer["scores"]], "", answer["seconds"])
        passed = time.monotonic() - self._since
        if self._ended:
            code = self._process.wait()
            self.kill()
            if not self._ready:
                raise TaskError(
                    f"task {self.task!r}: its reward process ended while it started ({_ending(code)})"
                )
            return Outcome(
                None, f"its process ended in the middle of the call ({_ending(code)})", passed
            )
        if time.monotonic() >= self.deadline(timeout_s):
            self.kill()
            if not self._ready:
                raise TaskError(
                    f"task {self.task!r}: its reward was not imported within {START_S:g} s"
                )
            return Outcome(
                None, f"no answer within timeout_s={timeout_s:g} s; the call was stopped", passed
            )
        return None

    def _answer(self) -> dict[str, Any] | None:
        if len(self._received) < HEADER:
            return None
        end = HEADER + int.from_bytes(self._received[:HEADER], "big")
        if len(self._received) < end:
            return None
        body, self._received = self._received[HEADER:end], self._received[end:]
        return json.loads(body)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._ended = True
        self._process.kill()
        self._process.wait()
        self.input.close()
        self.output.close()


def _frame_call(call: Call) -> bytes:
    message = {"row": call.row, "completions": list(call.completions), "index": call.row_index}
    try:
        return frame(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise TaskError(
            f"task {call.task!r}, prompt {call.row_index}: the row cannot be sent to a reward process ({error}); keep "
            "what JSON can hold in rows, or score in the training process (scoring.num_processes: 0)"
        ) from error


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _kill(idle: dict[str, list[_Worker]], busy: list[_Worker]) -> None:
    for worker in [*busy, *(w for workers in idle.values() for w in workers)]:
        worker.kill()
    busy.clear()
    for workers in idle.values():
        workers.clear()


def failure(call: Call, outcome: Outcome) -> RewardError:
    """The error of a call that failed; names task and prompt."""
    text = outcome.error
    return RewardError(
        text if text.startswith("task ") else f"task {call.task!r}, prompt {call.row_index}: {text}"
    )

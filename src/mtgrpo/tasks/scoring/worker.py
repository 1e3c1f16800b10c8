"""The process a reward runs in; `mtgrpo.tasks.scoring.processes` starts it and talks to it.

Messages are JSON, each after its length in 8 bytes: first how to get the reward, answered by ``{"ready": true}``; then
calls, one group each, answered by scores or by what went wrong. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from mtgrpo.errors import MissingExtra, MtgrpoError
from mtgrpo.tasks.scoring.recipe import reward_from_recipe
from mtgrpo.tasks.task import Task

HEADER = 8
"""Bytes that hold a message's length."""


def frame(message: Any) -> bytes:
    """A message as it travels.

    Raises:
        TypeError: JSON cannot hold it. (ValueError when it contains itself.)
    """
    body = json.dumps(message, default=_plain).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


def _plain(value: Any) -> Any:
    to_list = getattr(value, "tolist", None)  # numpy's numbers and arrays
    if callable(to_list):
        return to_list()
    raise TypeError(f"a {type(value).__name__}")


def main() -> None:
    """Serve until the input ends. Arguments: the trainer's process id, and ``signal`` or ``watch`` (`_die_with`)."""
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reward prints must not get between the answers
    # Ctrl-C and a scheduler's SIGTERM reach every process, but the trainer still has a step to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with(int(sys.argv[1]), by_signal=sys.argv[2] == "signal")
    task = None
    while (message := _read(calls)) is not None:
        start = time.perf_counter()
        try:
            if task is None:
                name = message["name"]
                reward = reward_from_recipe(message["recipe"], name)
                task = Task(name, [{"prompt": ""}], [], reward, correct_at=message["correct_at"])
                answer: dict[str, Any] = {"ready": True}
            else:
                answer = {"scores": _scores(task, message)}
        except MissingExtra as error:
            answer = {"missing": str(error)}
        except MtgrpoError as error:
            answer = {"error": str(error)}
        answer["seconds"] = time.perf_counter() - start
        answers.write(frame(answer))
        answers.flush()


def _scores(task: Task, call: dict[str, Any]) -> list[list[float]]:
    completions = call["completions"]
    rows, indices = [call["row"]] * len(completions), [call["index"]] * len(completions)
    return [[score.reward, score.accuracy] for score in task.score(rows, completions, indices)]


def _read(stream: BinaryIO) -> Any:
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return None
    body = stream.read(int.from_bytes(header, "big"))
    return json.loads(body)


def _die_with(parent: int, *, by_signal: bool) -> None:
    """End when the trainer is killed, also in the middle of a call."""
    if by_signal:
        import ctypes

        # 1 is PR_SET_PDEATHSIG. The kernel keeps its word even while a call holds Python's lock.
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

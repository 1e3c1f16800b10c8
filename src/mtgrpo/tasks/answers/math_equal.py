"""Whether two answers in LaTeX are equal, decided by math-verify in a process of its own.

sympy can be made to compute for hours (``9^{9^{9}}``), in C, where Python's signal handlers are
never reached, so that the library's own time limit does not hold. The kernel kills the process
when it has used its time or its memory, and a killed comparison is "not equal". math-verify hands
numbers in text without LaTeX to sympy's `parse_expr`, which evaluates Python; here every answer is
read as LaTeX alone.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from typing import Any, final

from mtgrpo.errors import RewardError, require

TIMEOUT_S = 5.0
"""Processor time, in seconds, that one comparison may take."""
MEMORY_BYTES = 4 * 1024**3
"""Address space of the process."""
_CODE = "from mtgrpo.tasks.answers.math_equal import main; main()"
_READY = "ready"


def math_equal(reference: str, answer: str) -> bool:
    """Whether math-verify takes two answers, the contents of boxes, to be equal.

    Args:
        reference: The right answer.
        answer: Any text. It is bounded in time and memory, not in length.

    Raises:
        MissingExtra: math-verify is not installed.
        RewardError: Its process does not start.
    """
    require("math_verify", "math")
    return _JUDGE.ask(reference, answer)


@final
class _Judge:
    """The process, started when it is first needed and again when it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def ask(self, reference: str, answer: str) -> bool:
        with self._lock:
            # A forked process must not share the pipes.
            if self._process is None or self._owner != os.getpid():
                self._process = self._start()
                self._owner = os.getpid()
            assert self._process.stdin is not None
            assert self._process.stdout is not None

            try:
                self._process.stdin.write(json.dumps([reference, answer]) + "\n")
                self._process.stdin.flush()
                reply = self._process.stdout.readline()
            except BrokenPipeError:
                reply = ""

            if not reply:
                _end(self._process)
                self._process = None
            return reply.strip() == "true"

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _CODE]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None

        if process.stdout.readline().strip() != _READY:
            _end(process)
            raise RewardError(
                "math-verify: its process ended at once with exit code "
                f"{process.returncode}; see stderr"
            )
        return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # what was still to be written
                continue


_JUDGE = _Judge()


def main() -> None:
    """Answer pairs from stdin, a line of JSON each, until it is closed."""
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    library: Any = require("math_verify", "math")

    # The first comparison loads a parser, which should not count against an answer's time.
    _compare(library, r"\frac{1}{2}", "0.5")
    sys.stdout.write(_READY + "\n")
    sys.stdout.flush()

    for line in sys.stdin:
        reference, answer = json.loads(line)

        # SIGPROF is not handled: the kernel ends the process.
        signal.setitimer(signal.ITIMER_PROF, TIMEOUT_S)
        equal = _compare(library, reference, answer)
        signal.setitimer(signal.ITIMER_PROF, 0)

        sys.stdout.write(json.dumps(equal) + "\n")
        sys.stdout.flush()


def _compare(library: Any, reference: str, answer: str) -> bool:
    config = [library.LatexExtractionConfig(boxed_match_priority=0)]
    try:
        gold, given = (
            library.parse(rf"\boxed{{{text}}}", extraction_config=config, parsing_timeout=None)
            for text in (reference, answer)
        )
        return bool(library.verify(gold, given, timeout_seconds=None))
    except (Exception, RecursionError, MemoryError):  # sympy raises whatever a text makes it raise
        return False

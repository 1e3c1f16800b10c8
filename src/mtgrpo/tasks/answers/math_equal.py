"""Whether two answers in LaTeX are equal, decided by math-verify in a process of its own.

sympy can be made to compute for hours (``9^{9^{9}}``), in C, where Python's signal handlers are
never reached, so that the library's own time limit does not hold. The kernel kills the process
when it has used its time or its memory, and a killed comparison is "not equal". math-verify hands
numbers in text without LaTeX to sympy's `parse_expr`, which evaluates Python; here every answer is
read as LaTeX alone.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, final

from mtgrpo.errors import RewardError, require

TIMEOUT_S = 5.0
"""Processor time, in seconds, that the comparisons of one answer may take together."""
MEMORY_BYTES = 4 * 1024**3
"""Address space of the process."""
_DIGITS = 30
_ROUNDING = 1e-12  # decimals are read as floats
_CODE = "from mtgrpo.tasks.answers.math_equal import main; main()"
_READY = "ready"
_TOO_HARD = (-signal.SIGPROF, -signal.SIGSEGV, -signal.SIGABRT)  # out of time, stack or memory
_LAST_WORDS_S = 2.0


def comparisons() -> Callable[[str, str], bool]:
    """A function that says whether math-verify takes two texts, contents of boxes, to be equal.

    Its arguments are the right one and any other, which is bounded in time and memory, not in
    length. All calls of one function share `TIMEOUT_S`; when it is used up, nothing is equal.

    Raises:
        MissingExtra: math-verify is not installed.
        RewardError: Its process does not start (in a call).
    """
    require("math_verify", "math")
    left = TIMEOUT_S

    def equal(reference: str, answer: str) -> bool:
        nonlocal left
        if left <= 0.0:
            return False

        verdict, seconds = _JUDGE.ask(reference, answer, left)
        left -= seconds
        return verdict

    return equal


@final
class _Judge:
    """The process, started when it is first needed and again when it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def ask(self, reference: str, answer: str, seconds: float) -> tuple[bool, float]:
        """Whether two texts are equal, and the processor time, of at most `seconds`, it took."""
        question = json.dumps([reference, answer, seconds]) + "\n"
        with self._lock:
            reply, code = self._reply(question)
            if not reply and code not in _TOO_HARD:
                reply, _ = self._reply(question)  # killed by someone else: the question stands

        if not reply:
            return False, seconds
        equal, used = json.loads(reply)
        return equal, used

    def close(self) -> None:
        """End the process, if it is ours and runs."""
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                self._process.kill()
                _end(self._process)
            self._process = None

    def _reply(self, question: str) -> tuple[str, int]:
        """The process's line, or an empty one and the exit code of a process that has ended."""
        # A forked process must not share the pipes.
        if self._process is None or self._owner != os.getpid():
            self._process = self._start()
            self._owner = os.getpid()
        assert self._process.stdin is not None
        assert self._process.stdout is not None

        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if reply.endswith("\n"):
            return reply, 0

        _end(self._process)
        code = self._process.returncode
        self._process = None
        return "", code

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
    try:
        process.wait(_LAST_WORDS_S)  # its pipe is closed: it has ended, or is about to
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # what was still to be written
                continue


_JUDGE = _Judge()
atexit.register(_JUDGE.close)


def main() -> None:
    """Answer pairs from stdin, a line of JSON each, until it is closed."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer; it closes the pipe
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    library: Any = require("math_verify", "math")

    # The first comparison loads a parser, which should not count against an answer's time.
    _compare(library, r"\frac{1}{2}", "0.5")
    sys.stdout.write(_READY + "\n")
    sys.stdout.flush()

    for line in sys.stdin:
        reference, answer, seconds = json.loads(line)

        # SIGPROF is not handled: the kernel ends the process.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        start = time.process_time()
        equal = _compare(library, reference, answer)
        used = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)

        sys.stdout.write(json.dumps([equal, used]) + "\n")
        sys.stdout.flush()


def _compare(library: Any, reference: str, answer: str) -> bool:
    config = [library.LatexExtractionConfig(boxed_match_priority=0)]
    try:
        gold, given = (
            library.parse(rf"\boxed{{{text}}}", extraction_config=config, parsing_timeout=None)
            for text in (reference, answer)
        )
        return bool(library.verify(gold, given, timeout_seconds=None)) and _close(gold, given)
    except (Exception, RecursionError, MemoryError):  # sympy raises whatever a text makes it raise
        return False


def _close(gold: list[Any], given: list[Any]) -> bool:
    """False for what math-verify takes for equal and is not.

    It rounds numbers, so that 1/2^98 is 1/2^99, and compares equations by their solutions, so that
    two without any are the same.
    """
    sympy: Any = require("sympy", "math")
    a, b = gold[0], given[0]

    if isinstance(a, sympy.Eq) and isinstance(b, sympy.Eq):
        ratio = sympy.simplify((a.lhs - a.rhs) / (b.lhs - b.rhs))
        return bool(ratio.is_number) or bool(sympy.solve(a, a.free_symbols))

    numbers = isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)
    if not numbers or a.free_symbols or b.free_symbols:
        return True

    difference = abs(sympy.N(a.doit() - b.doit(), _DIGITS))
    size = max(abs(sympy.N(a.doit(), _DIGITS)), abs(sympy.N(b.doit(), _DIGITS)))
    return bool(difference <= size * _ROUNDING)

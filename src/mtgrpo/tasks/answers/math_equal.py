"""Whether two answers in LaTeX are equal, decided by math-verify in a process of its own.

sympy can be made to compute for hours (``9^{9^{9}}``), in C, where Python's signal handlers are
never reached, so that the library's own time limit does not hold. The kernel ends the process when
it has used its time or its memory, and such a comparison is "not equal"; a process that ends for
another reason is no verdict (`mtgrpo.tasks.answers.judge`). math-verify hands numbers in text
without LaTeX to sympy's `parse_expr`, which evaluates Python; here every answer is read as LaTeX
alone.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from mtgrpo.errors import RewardError, require
from mtgrpo.tasks.answers.judge import Judge
from mtgrpo.tasks.children.channel import open_channel

TIMEOUT_S = 5.0
"""Processor time, in seconds, that the comparisons of one answer may take together."""
MEMORY_BYTES = 4 * 1024**3
"""Address space of the process."""
_DIGITS = 30
_ROUNDING = 1e-14  # decimals are read as floats
_CODE = "from mtgrpo.tasks.answers.math_equal import main; main()"


def comparisons() -> Callable[[str, str], bool]:
    """A function that says whether math-verify takes two texts, contents of boxes, to be equal.

    Its arguments are the right one and any other, which is bounded in time and memory, not in
    length. All calls of one function share `TIMEOUT_S`; when it is used up, nothing is equal.

    Raises:
        MissingExtra: math-verify is not installed.
        RewardError: Its process does not start, or is ended again and again (in a call).
    """
    require("math_verify", "math")
    left = TIMEOUT_S

    def equal(reference: str, answer: str) -> bool:
        nonlocal left
        if left <= 0.0:
            return False

        reply = _JUDGE.ask([reference, answer, left])
        if reply is False:
            left = 0.0
            return False

        verdict, seconds = reply
        left -= seconds
        return verdict

    return equal


_JUDGE = Judge("math-verify", _CODE)


def main() -> None:
    """Compare pairs of texts for as long as the channel is open."""
    import resource

    channel = open_channel()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    library: Any = require("math_verify", "math")

    # The first comparison loads a parser, which should not count against an answer's time. A
    # library that fails at it would take every answer for wrong.
    if not _compare(library, r"\frac{1}{2}", "0.5"):
        raise RewardError("math-verify: it does not find that 1/2 is 0.5; is it installed whole?")
    channel.send("ready")

    while (question := channel.receive()) is not None:
        reference, answer, seconds = question

        # SIGPROF is not handled: the kernel ends the process.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        start = time.process_time()
        equal = _compare(library, reference, answer)
        used = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.send([equal, used])


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
    if not numbers or a == b or a.free_symbols or b.free_symbols:
        return True

    difference = abs(sympy.N(a.doit() - b.doit(), _DIGITS))
    size = max(abs(sympy.N(a.doit(), _DIGITS)), abs(sympy.N(b.doit(), _DIGITS)))
    return bool(difference <= size * _ROUNDING)

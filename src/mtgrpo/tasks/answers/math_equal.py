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
from typing import Any

from mtgrpo.errors import RewardError, require
from mtgrpo.tasks.answers.judge import Judge
from mtgrpo.tasks.children.channel import open_channel

TIMEOUT_S = 5.0
"""Processor time, in seconds, that one comparison may take."""
MEMORY_BYTES = 4 * 1024**3
"""Address space of the process."""
_CODE = "from mtgrpo.tasks.answers.math_equal import main; main()"


def math_equal(reference: str, answer: str) -> bool:
    """Whether math-verify takes two answers, the contents of boxes, to be equal.

    Args:
        reference: The right answer.
        answer: Any text. It is bounded in time and memory, not in length.

    Raises:
        MissingExtra: math-verify is not installed.
        RewardError: Its process does not start, or is ended again and again.
    """
    require("math_verify", "math")
    return _JUDGE.ask([reference, answer])


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
        reference, answer = question

        # SIGPROF is not handled: the kernel ends the process.
        signal.setitimer(signal.ITIMER_PROF, TIMEOUT_S)
        equal = _compare(library, reference, answer)
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.send(equal)


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

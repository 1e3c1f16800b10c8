r"""Finding the answer in a completion: the last ``\boxed{...}``."""

from __future__ import annotations

import re

MAX_ANSWER = 1_000
"""Longest answer, in characters, that is looked at. The paper's longest right answer has 79."""

_BOX = re.compile(r"\\boxed\s{0,4}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def last_boxed(text: str, most: int = MAX_ANSWER) -> str | None:
    r"""The content of the last ``\boxed{...}`` of `text`, or None when that is not parsable.

    Only the last box counts, on whatever line it stands: a model is scored by what it says last.
    The box is parsable when its braces balance and it holds 1 to `most` characters that are not
    all space. An empty, endless or unclosed last box is no answer, even when an earlier one was
    fine. If a box stands in a box, the inner one counts. Escaped braces (``\{``) do not count.

    The time is linear in the length of the text.
    """
    start = -1
    for box in _BOX.finditer(text):
        start = box.end()
    if start < 0:
        return None

    # One character of content too many, and the closing brace cannot come in time.
    window = text[start : start + most + 1]

    depth = 1
    for token in _BRACE.finditer(window):
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1

        if depth == 0:
            content = window[: token.start()]
            return content if content.strip() else None
    return None


def has_box(text: str) -> bool:
    r"""Whether a box is opened in `text`; the bare word ``\boxed`` opens none."""
    return _BOX.search(text) is not None


def box(answer: str) -> str:
    r"""`answer` as a completion: ``\boxed{answer}``."""
    return rf"\boxed{{{answer}}}"

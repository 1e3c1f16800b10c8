r"""Finding the answer in a completion for reasoning-gym: in a box or between tags."""

from __future__ import annotations

import re

from mtgrpo.tasks.answers.boxed import box, has_box, last_boxed
from mtgrpo.tasks.answers.latex import plain_text

_BARE_WORD = re.compile(r"\\boxed(?![a-zA-Z])")

MAX_LENGTH = 10_000
"""Longest answer in characters; some datasets ask for whole grids."""


def extract_answer(text: str) -> str | None:
    r"""The answer: what stands last in a completion, ``\boxed{...}`` or ``<answer>...</answer>``.

    A box inside the tags is opened; the bare word ``\boxed`` is no box. Empty tags are an empty
    answer, which some entries have. None when there is neither, or only an empty box, or one that
    is not closed or has no end. Time is linear in the length of the text.
    """
    end = text.rfind("</answer>")
    if end < 0 or has_box(text[end:]):
        answer = last_boxed(text, MAX_LENGTH)
    else:
        start = text.rfind("<answer>", 0, end)
        if start < 0:
            return None

        inside = text[start + len("<answer>") : end]
        boxed = has_box(inside)
        answer = last_boxed(inside, MAX_LENGTH) if boxed else _BARE_WORD.sub(" ", inside)

    if answer is None or len(answer) > MAX_LENGTH:
        return None
    return _stripped(plain_text(answer))


def _stripped(answer: str) -> str:
    r"""`answer` without space at its ends, LaTeX's ``\ `` included."""
    plain = answer.strip()
    if plain.endswith("\\") and answer[-1].isspace():
        plain = plain[:-1].rstrip()
    return plain


def as_completion(answer: str) -> str:
    r"""A completion whose answer is `answer`: boxed, or in tags when a box cannot hold it."""
    boxed = box(answer)
    return boxed if extract_answer(boxed) == answer.strip() else f"<answer>{answer}</answer>"

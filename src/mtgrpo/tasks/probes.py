"""Completions with which a reward is tried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mtgrpo.tasks.scores import Completion, Row

HOSTILE_COMPLETIONS = (
    "",
    "\x00\ud800\u202e",
    "\\boxed{",
    "\\boxed{}",
    "}" * 1_000,
    "\\boxed{" + "(" * 300 + "}",
    "\\boxed{96**73**8}",
    "\\boxed{__import__('os').getcwd()}",
    "<answer>" * 500,
    "<answer>[[1, 2], {'a': None}]</answer>",
    "\\boxed{" * 5_000,
)
"""Completions on which no reward may raise or hang."""

FORMS = ("{}", "\\boxed{{{}}}", "<answer>{}</answer>")
"""How an answer may be written."""

MAX_VALUES = 8
MAX_LENGTH = 10_000


def attempts(row: Row) -> list[str]:
    """Completions made of a row's own values, one of which may well be right.

    Args:
        row: Of its columns, texts and numbers are taken, at the top and one level down.
    """
    values: dict[str, None] = {}
    for name, value in row.items():
        if name != "prompt":
            values.update(dict.fromkeys(_texts(value)))

    chosen = list(values)[:MAX_VALUES]
    return [form.format(value) for value in chosen for form in FORMS]


def as_completion(row: Row, text: str) -> Completion:
    """A text in the form that a run gives completions of a row's prompt: messages for a chat."""
    if isinstance(row.get("prompt"), str):
        return text
    return [{"role": "assistant", "content": text}]


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        inner: Sequence[Any] = list(cast("Mapping[str, Any]", value).values())
    elif isinstance(value, (list, tuple)):
        inner = cast("Sequence[Any]", value)
    else:
        inner = [value]

    texts: list[str] = []
    for item in inner[:MAX_VALUES]:
        if isinstance(item, (str, int, float)) and 0 < len(str(item)) <= MAX_LENGTH:
            texts.append(str(item))
    return texts

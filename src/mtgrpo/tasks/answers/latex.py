"""What models wrap an answer in. Every function is total; texts are short (`boxed.MAX_ANSWER`)."""

from __future__ import annotations

import re

# Commands that say how something looks and not what it is.
_SILENT = re.compile(
    r"\\(?:(?:left|right|displaystyle|quad|qquad|[bB]igg?[lr]?)(?![a-zA-Z])|[,;:! ])"
)
_FONT = r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf)\s?"
_TEXT = re.compile(rf"{_FONT}\{{([^{{}}]*)\}}")
_WHOLE_TEXT = re.compile(rf"\s*{_FONT}\{{(.*)\}}\s*", re.DOTALL)
_FRACTION = re.compile(r"\\[cdt]?frac(?![a-zA-Z])")
_OPERATORS = {
    r"\times": "*", r"\cdot": "*", r"\ast": "*", r"\div": "/",
    "×": "*", "·": "*", "∗": "*", "⋅": "*", "÷": "/", "∕": "/", "−": "-", "–": "-",
    "[": "(", "]": ")",
}  # fmt: skip
_LETTER_X = re.compile(r"(?<![a-zA-Z\\])[xX](?![a-zA-Z])")
_MAX_FRACTIONS = 64
_MAX_NESTED = 8  # \textbf{\text{...}}


def unwrap(text: str) -> str:
    r"""`text` without dollar signs, ``\( \)``, ``\left``, ``\text{...}`` and runs of spaces."""
    # By a space: 1$2 is not 12. Before the ends are stripped: a backslash and a space may end it.
    text = text.replace("$", " ").replace("\\ ", " ").strip()
    for start, end in (("\\(", "\\)"), ("\\[", "\\]")):
        if len(text) >= 4 and text.startswith(start) and text.endswith(end):
            text = text[2:-2]

    text = text.replace("~", " ")
    text = _SILENT.sub(" ", text)

    for _ in range(_MAX_NESTED):
        text, changes = _TEXT.subn(r" \1 ", text)
        if not changes:
            break
    return " ".join(text.split())


def plain_text(text: str) -> str:
    r"""What stands in ``\text{...}`` or the like, when that is all of `text`; else `text`."""
    for _ in range(_MAX_NESTED):
        match = _WHOLE_TEXT.fullmatch(text)
        if match is None or _braced(f"{{{match[1]}}}", 0) != len(match[1]) + 2:
            break
        text = match[1]
    return text


def as_arithmetic(text: str) -> str:
    r"""`text` with plain operators: ``\times`` and x are ``*``, ``\frac{a}{b}`` is ``((a)/(b))``.

    Brackets become parentheses, and a full stop at the end is left out. What is not known stays as
    it is, for the parser to refuse. Braces outside of ``\frac`` stay too: LaTeX does not show them,
    so they group nothing.
    """
    text = unwrap(text).removesuffix(".")
    text = _LETTER_X.sub("*", text)

    for latex, plain in _OPERATORS.items():
        pattern = re.escape(latex)
        if latex[0] == "\\":
            pattern += r"(?![a-zA-Z])"  # a command: `\timesheet` is no product, `\times3` is
        text = re.sub(pattern, plain, text)

    for _ in range(_MAX_FRACTIONS):
        commands = list(_FRACTION.finditer(text))
        if not commands:
            break

        last = commands[-1]  # has no fraction inside
        middle = _braced(text, last.end())
        end = _braced(text, middle)
        if end < 0:
            break

        top = text[last.end() : middle].strip()[1:-1]
        bottom = text[middle:end].strip()[1:-1]
        text = f"{text[: last.start()]}(({top})/({bottom})){text[end:]}"
    return text


def _braced(text: str, start: int) -> int:
    """The position after the braces that open at `start` (after spaces), or -1 without any."""
    if start < 0:
        return -1

    while start < len(text) and text[start].isspace():
        start += 1
    if start >= len(text) or text[start] != "{":
        return -1

    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i + 1
    return -1

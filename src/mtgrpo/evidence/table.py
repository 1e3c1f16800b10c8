"""A table as text cells, and how numbers stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtgrpo.evidence.paired import Interval
from mtgrpo.values import printable

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """Heads, rows of text, and what has to be said about them."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown, with its title and note."""
        lines: list[str] = []
        if self.title:
            lines += [f"**{as_markdown(self.title)}**", ""]

        lines.append("| " + " | ".join(map(as_markdown, self.heads)) + " |")
        lines.append("|" + "---|" * len(self.heads))

        for row in self.rows:
            lines.append("| " + " | ".join(map(as_markdown, row)) + " |")

        if self.note:
            lines += ["", as_markdown(self.note)]

        return "\n".join(lines)


def as_markdown(text: str) -> str:
    """Text on one line of Markdown that makes no cell, no HTML and no link; emphasis stays."""
    text = printable(text).replace("\\", "\\\\").replace("|", "\\|")
    text = text.replace("&", "&amp;").replace("<", "&lt;")

    return text.replace("](", "]\\(")


def spread(values: Sequence[float], *, sign: str = "", brief: bool = False) -> str:
    """Mean (lowest to highest); the mean alone when `brief`, or of a single value."""
    if not len(values):
        return MISSING

    mean = f"{float(np.mean(values)):{sign}.1f}"
    if brief or len(values) == 1:
        return mean

    return f"{mean} ({min(values):{sign}.1f} to {max(values):{sign}.1f})"


def points(value: Interval) -> str:
    """An interval of accuracies, in points; bold where it excludes 0."""
    return interval(Interval(100 * value.value, 100 * value.low, 100 * value.high))


def interval(value: Interval) -> str:
    """A value with its interval; bold where that excludes 0."""
    text = f"{value.value:+.1f} ({value.low:+.1f} to {value.high:+.1f})"
    if value.excludes_zero:
        return f"**{text}**"

    return text

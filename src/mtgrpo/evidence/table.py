"""A table as text cells, and how numbers stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtgrpo.evidence.paired import Interval

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
            lines += [f"**{self.title}**", ""]

        lines.append("| " + " | ".join(self.heads) + " |")
        lines.append("|" + "---|" * len(self.heads))

        for row in self.rows:
            cells = [cell.replace("|", "\\|") for cell in row]
            lines.append("| " + " | ".join(cells) + " |")

        if self.note:
            lines += ["", self.note]

        return "\n".join(lines)


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

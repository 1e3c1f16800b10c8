"""The console, and what is printed on it safely.

Task names, prompts and completions are hostile text: they are printed as `Text`, never as markup,
with control characters written out.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.errors import require
from mtgrpo.values import printable

require("rich", "cli")

from rich.console import Console  # noqa: E402
from rich.measure import Measurement  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

SPEED_PERIOD_S = 3600
"""Seconds over which the speed is measured: a step of a large model takes minutes."""

_WIDEST = 10_000
"""Columns that no table has."""

console = Console(highlight=False)


def progress_bar(left: ProgressColumn | None = None) -> Progress:
    """A bar with the time that is left; nothing without a terminal.

    Args:
        left: Shows that time; by default rich works it out.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        left or TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=SPEED_PERIOD_S,
    )


def number_table(title: str, first: str, *numbers: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=as_text(title))
    table.add_column(as_text(first))
    for column in numbers:
        table.add_column(as_text(column), justify="right")
    return table


def width_of(table: Table) -> int:
    """Columns of a table whose cells are not wrapped."""
    return Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum


def print_table(table: Table) -> None:
    """A table; in a file or a pipe, whose readers know no width, nothing of it is wrapped."""
    if console.is_terminal:
        console.print(table)
        return

    width = max(width_of(table), console.width)
    Console(highlight=False, file=console.file, width=width).print(table)


def as_text(text: str, style: str = "") -> Text:
    """Text as it is: no markup, nothing that moves the cursor."""
    return Text(printable(text), style=style)


def print_line(text: str) -> None:
    """One line, however long."""
    console.print(as_text(text), soft_wrap=True)


def print_lines(text: str) -> None:
    """Text of several lines."""
    console.print(Text(printable(text, lines=True)), soft_wrap=True)


def percent(share: float) -> str:
    """``0.123`` as ``12.3``."""
    return f"{100 * share:.1f}"


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)

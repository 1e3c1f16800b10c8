"""What is said when a run's tasks change."""

from __future__ import annotations

from dataclasses import dataclass

from mtgrpo.errors import counted


@dataclass(frozen=True, slots=True)
class TaskNews:
    """What changed about a task.

    Attributes:
        task: Its name.
        change: ``joined``, ``left``, ``grown`` or ``shrunk``.
        num_rows: Rows to train on, from now on; those it had, if it left.
        num_before: Rows that it had before; None where these are no news.
    """

    task: str
    change: str
    num_rows: int
    num_before: int | None = None

    def __str__(self) -> str:
        rows = counted(self.num_rows, "training row")
        if self.num_before is None:
            return f"task {self.task!r} {self.change} ({rows})"

        return (
            f"task {self.task!r} has {self.change} from {self.num_before:,} to {rows}; it goes on "
            "at the same place of an order for so many"
        )

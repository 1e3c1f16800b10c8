"""One of the files of a run log that grow line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtgrpo.runlog.files import append_line, keep_lines, read_lines, sync


class LineFile:
    """A JSON-lines file that is appended to, and how far it has come.

    Args:
        path: The file; made by the first line.

    Attributes:
        num_lines: Lines in it.
        last_step: Step of the last line; None without lines.
        elapsed_s: Most seconds of training in any line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_lines = 0
        self.last_step: int | None = None
        self.elapsed_s = 0.0

    def __repr__(self) -> str:
        return f"LineFile({self.path.name!r}, {self.num_lines} lines)"

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line with its ``step``; whole when this returns, durable after `sync`."""
        append_line(self.path, line)
        self._count(line)

    def keep(self, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
        """Drop a torn last line and the lines that are not wanted; count those that stay."""
        keep_lines(self.path, wanted)

        self.num_lines = 0
        self.last_step = None
        self.elapsed_s = 0.0
        for _, line in read_lines(self.path):
            self._count(line)

    def sync(self) -> None:
        """Make every line durable."""
        sync(self.path)

    def _count(self, line: Mapping[str, Any]) -> None:
        self.num_lines += 1

        step, elapsed_s = line.get("step"), line.get("elapsed_s")
        if isinstance(step, (int, float)):
            self.last_step = int(step)
        if isinstance(elapsed_s, (int, float)):
            self.elapsed_s = max(self.elapsed_s, float(elapsed_s))

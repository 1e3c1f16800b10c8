"""How far a run is, and how long it will still take."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtgrpo.runlog.records import Run

WINDOW = 50
"""Steps over which the pace is measured: evaluations and checkpoints are among them."""


class Pace:
    """Seconds per step at present, and seconds that are left.

    Args:
        total: Steps of the whole run; None where it is not known.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self._marks: deque[tuple[int, float]] = deque(maxlen=WINDOW + 1)

    def add(self, step: int, seconds: float) -> None:
        """A step is over.

        Args:
            step: Steps done.
            seconds: On any clock that goes on between steps.
        """
        if self._marks and step <= self._marks[-1][0]:
            self._marks.clear()  # a run that went back
        self._marks.append((step, seconds))

    @property
    def step_s(self) -> float:
        """Seconds per step; NaN before the second mark."""
        if len(self._marks) < 2:
            return math.nan

        (first, start), (last, end) = self._marks[0], self._marks[-1]
        return (end - start) / (last - first)

    @property
    def remaining_s(self) -> float:
        """Seconds until the last step; NaN where unknown."""
        if self.total is None or not self._marks:
            return math.nan
        return max(0, self.total - self._marks[-1][0]) * self.step_s


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Steps are those that the log counts: policy updates.

    Attributes:
        step: The last one.
        total: Steps of the whole run; None where its configuration does not say.
        step_s: Seconds per step at present; NaN where unknown.
        remaining_s: Seconds until the last step; NaN where unknown, or when nothing goes on.
    """

    step: int
    total: int | None
    step_s: float
    remaining_s: float


def progress_of(run: Run) -> Progress:
    """How far a run is."""
    pace = Pace(total_steps(run.config))
    for line in run.metrics[-WINDOW - 1 :]:
        pace.add(line.step, line.elapsed_s)

    left = pace.remaining_s if run.status == "running" else math.nan
    return Progress(run.last_step, pace.total, pace.step_s, left)


def total_steps(config: Mapping[str, Any]) -> int | None:
    """Policy updates of the whole run; None where its configuration does not say."""
    if isinstance(config.get("max_steps"), int):  # of a script
        return config["max_steps"]

    steps, updates = config.get("steps"), config.get("updates_per_step", 1)
    if not isinstance(steps, int) or not isinstance(updates, int):
        return None
    return steps * updates


def in_words(seconds: float) -> str:
    """``3 h 05 min``, ``12 min``, ``40 s``; ``unknown`` for NaN."""
    if math.isnan(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.0f} s"

    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"

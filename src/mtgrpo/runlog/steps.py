"""The lines of a log that tell of the mixer's steps, and what a missing value in them means.

An engine may log each policy update, of which only the last closes a step, or once in several
steps; a line then holds means over the steps since the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mtgrpo.runlog.records import Metrics, Run


@dataclass(frozen=True, slots=True)
class StepLine:
    """A line of metrics with values of the mixer.

    Attributes:
        metrics: The line.
        num_steps: Steps it stands for, at least 1.
    """

    metrics: Metrics
    num_steps: int


def step_lines(run: Run, updates_per_step: int | None = None) -> list[StepLine]:
    """The lines that tell of the mixer's steps; all lines of a log that knows no mixer.

    Args:
        run: The run.
        updates_per_step: Policy updates per step, which the log counts; None takes those of the
            run's configuration, or 1.
    """
    updates = updates_per_step or _updates_per_step(run)
    marks = ["sampler/rounds", *(f"task/{task}/weight" for task in run.tasks)]
    of_mixer = [any(mark in line.values for mark in marks) for line in run.metrics]
    if not any(of_mixer):
        of_mixer = [True] * len(run.metrics)

    lines: list[StepLine] = []
    last_step, has_others_between = 0, False

    for line, is_chosen in zip(run.metrics, of_mixer, strict=True):
        if not is_chosen:
            has_others_between = True
            continue

        num_steps = 1
        if not has_others_between:
            num_steps = max(1, line.step // updates - last_step // updates)

        lines.append(StepLine(line, num_steps))
        last_step, has_others_between = line.step, False

    return lines


def values_of(lines: Sequence[StepLine], name: str) -> list[float]:
    """A metric in every line; NaN where it is missing."""
    return [line.metrics.values.get(name, math.nan) for line in lines]


def counts_of(lines: Sequence[StepLine], name: str) -> list[float]:
    """A count in every line; one that is missing is 0, unless no line has it."""
    if not any(name in line.metrics.values for line in lines):
        return [math.nan] * len(lines)

    return [line.metrics.values.get(name, 0.0) for line in lines]


def _updates_per_step(run: Run) -> int:
    updates = run.config.get("updates_per_step", 1)
    if not isinstance(updates, int):
        return 1

    return max(1, updates)

"""Tables of a run's report: its tasks, and the run against others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.errors import ConfigError, RunError
from mtgrpo.reports import page
from mtgrpo.reports.compare import change_against, evaluated_differently
from mtgrpo.reports.curves import Cost, accuracy_curves, cost_to_reach
from mtgrpo.reports.task_rows import TaskRow, task_table
from mtgrpo.runlog import Run

TASK_HEADS = (
    "task",
    "{measure} before, %",
    "after, %",
    "change, points",
    "acceptance rate, %",
    "final weight",
    "target share, %",
    "realised share, %",
    "groups generated",
)
TASK_NOTE = (
    "{measure} on test prompts at the first and the last evaluation, ± one standard error; the "
    "error of a change treats the two evaluations as independent. Acceptance is over the whole "
    "run, shares are means over steps."
)
NOT_COMPARABLE = "†"
CHANGED_NOTE = (
    f"{NOT_COMPARABLE}: evaluated under other settings than the last evaluation, so that no change "
    "is given."
)
BASELINE_HEADS = (
    "other run",
    "its worst task, %",
    "its mean, %",
    "this run: relative change per task, %",
    "steps to its final worst-task {measure}, this / that",
    "rollouts to it, this / that",
)


def task_rows_table(run: Run) -> str:
    """A row per task, and below them the worst task and the mean."""
    rows = task_table(run)
    if not rows:
        return page.paragraph("The run directory names no tasks.")

    cells = [_task_cells(row) for row in rows]

    curves = accuracy_curves(run)
    for label, values in (("worst task", curves.worst), ("mean of tasks", curves.mean)):
        before = float(values[0]) if len(values) else np.nan
        after = float(values[-1]) if len(values) > 1 else np.nan
        change = np.nan if curves.changes else after - before

        shown = page.percent(before) + _mark(not curves.changes)
        cells.append([label, shown, page.percent(after), page.signed(change), *[""] * 5])

    notes = page.paragraph(TASK_NOTE.format(measure=curves.measure.capitalize()))
    if curves.changes:
        notes += page.paragraph(CHANGED_NOTE)

    heads = [head.format(measure=curves.measure) for head in TASK_HEADS]
    return page.table(heads, cells, totals=2) + notes


def changes_table(run: Run) -> str:
    """Tasks that joined, left, grew or shrank while the run went on; empty without any."""
    rows: list[list[str]] = []
    for change in run.changes:
        news = change.news
        size = page.number(news.num_rows)
        if news.num_before is not None:
            size = f"{page.number(news.num_before)} → {size}"

        first = page.number(change.step)
        rows.append([first, page.name(news.task), page.text(news.change), size])

    if not rows:
        return ""
    return page.table(["first step", "task", "what changed", "training rows"], rows)


def baseline_table(run: Run, others: Sequence[Run]) -> str:
    """A row per other run: its final accuracies, and what this run needed to reach them."""
    if not others:
        return ""

    rows: list[list[str]] = []
    notes: list[str] = []

    for other in others:
        curves = accuracy_curves(other)
        worst = float(curves.worst[-1]) if len(curves.steps) else np.nan
        mean = float(curves.mean[-1]) if len(curves.steps) else np.nan

        if difference := evaluated_differently(run, other):
            note = f"{other.name} was not evaluated as this run was (there → here: {difference})."
            notes.append(page.notice(note))

        try:
            change = change_against(run, other)
        except (ConfigError, RunError) as error:
            change = np.nan
            notes.append(page.paragraph(str(error)))

        mine = theirs = None
        if worst == worst:
            mine, theirs = cost_to_reach(run, worst), cost_to_reach(other, worst)

        rows.append(
            [
                page.name(f"{other.name} ({other.config.get('preset', 'no preset')})"),
                page.percent(worst),
                page.percent(mean),
                page.signed(change, scale=1.0),
                *_costs(mine, theirs),
            ]
        )

    measure = accuracy_curves(run).measure
    heads = [head.format(measure=measure) for head in BASELINE_HEADS]
    return page.table(heads, rows) + "".join(notes)


def _task_cells(row: TaskRow) -> list[str]:
    return [
        page.name(row.task),
        page.percent(row.before, row.before_error) + _mark(row.is_comparable),
        page.percent(row.after, row.after_error),
        page.signed(row.change, row.change_error),
        page.percent(row.acceptance_rate),
        page.number(row.final_weight, 3),
        page.percent(row.target_share),
        page.percent(row.realized_share),
        page.number(row.num_generated),
    ]


def _mark(is_comparable: bool) -> str:
    return "" if is_comparable else f" {NOT_COMPARABLE}"


def _costs(mine: Cost | None, theirs: Cost | None) -> tuple[str, str]:
    """Steps and rollouts, this run's and the other's."""
    if mine is None or theirs is None:
        return page.MISSING, page.MISSING

    return (
        f"{page.number(mine.steps)} / {page.number(theirs.steps)}",
        f"{page.number(mine.rollouts)} / {page.number(theirs.rollouts)}",
    )

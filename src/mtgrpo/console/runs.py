"""The runs in a directory: a line each, or two where a terminal is too narrow for that."""

from __future__ import annotations

from collections.abc import Sequence

from rich.padding import Padding

from mtgrpo.console.output import (
    as_text,
    console,
    number_table,
    percent,
    print_line,
    print_table,
    width_of,
)
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.runlog import Run
from mtgrpo.runlog.progress import in_words, progress_of

STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow"}
HEADS = ("status", "step", "worst, %", "mean, %", "rollouts", "time", "left")


def runs_table(runs: Sequence[Run], resume_lines: Sequence[str]) -> None:
    """Status, steps, scores at the last evaluation and time left of each run.

    Args:
        runs: The runs.
        resume_lines: How to go on with those that ended before their last step.
    """
    table = number_table("runs", "run", *HEADS)
    for column in table.columns:
        column.no_wrap = True

    for run in runs:
        status, *figures = _cells(run)
        style = STYLES.get(run.status, "red")
        table.add_row(as_text(str(run.path)), as_text(status, style=style), *figures)

    if console.is_terminal and width_of(table) > console.width:
        _print_in_two_lines(runs)
    else:
        print_table(table)

    for line in resume_lines:
        print_line(line)


def _print_in_two_lines(runs: Sequence[Run]) -> None:
    """A path on a line of its own can be copied; in a narrow column it would be broken."""
    for run in runs:
        print_line(str(run.path))

        status, *figures = _cells(run)
        parts = [status]
        for head, figure in zip(HEADS[1:], figures, strict=True):
            if figure:
                parts.append(f"{head.removesuffix(', %')} {figure}")

        text = as_text(", ".join(parts), style=STYLES.get(run.status, "red"))
        console.print(Padding(text, (0, 0, 0, 2), expand=False))


def _cells(run: Run) -> list[str]:
    """What there is to say of a run, in the order of `HEADS`."""
    progress = progress_of(run)
    total = "?" if progress.total is None else f"{progress.total:,}"
    last = run.metrics[-1] if run.metrics else None

    return [
        run.status,
        f"{progress.step:,}/{total}",
        *_scores(run),
        "" if last is None else f"{last.rollouts:,}",
        "" if last is None else in_words(last.elapsed_s),
        in_words(progress.remaining_s) if run.status == "running" else "",
    ]


def _scores(run: Run) -> tuple[str, str]:
    if not run.evaluations or not run.evaluations[-1].tasks:
        return "", ""
    scores = run.evaluations[-1].accuracies
    return percent(worst_accuracy(scores)), percent(mean_accuracy(scores))

"""The runs in a directory, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.console.output import as_text, console, number_table, percent, print_line
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.runlog import Run
from mtgrpo.runlog.progress import in_words, progress_of

STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow"}


def runs_table(runs: Sequence[Run], resume_lines: Sequence[str]) -> None:
    """Status, steps, scores at the last evaluation and time left of each run.

    Args:
        runs: The runs.
        resume_lines: How to go on with those that ended before their last step.
    """
    heads = ("status", "step", "worst, %", "mean, %", "rollouts", "time", "left")
    table = number_table("runs", "run", *heads)

    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.no_wrap = True

    for run in runs:
        progress = progress_of(run)
        total = "?" if progress.total is None else f"{progress.total:,}"
        left = in_words(progress.remaining_s) if run.status == "running" else ""
        last = run.metrics[-1] if run.metrics else None

        table.add_row(
            as_text(str(run.path)),
            as_text(run.status, style=STYLES.get(run.status, "red")),
            f"{progress.step:,}/{total}",
            *_scores(run),
            "" if last is None else f"{last.rollouts:,}",
            "" if last is None else in_words(last.elapsed_s),
            left,
        )

    console.print(table)
    for line in resume_lines:
        print_line(line)


def _scores(run: Run) -> tuple[str, str]:
    if not run.evaluations or not run.evaluations[-1].tasks:
        return "", ""
    scores = run.evaluations[-1].accuracies
    return percent(worst_accuracy(scores)), percent(mean_accuracy(scores))

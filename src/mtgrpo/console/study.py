"""Studies in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtgrpo.console.output import (
    as_text,
    number_table,
    print_line,
    print_table,
    progress_bar,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mtgrpo.evidence.table import Table as StudyTable
    from mtgrpo.jobs.experiment import Experiment


class StudyDisplay:
    """A bar over the runs of a study, and a line per run."""

    def __init__(self, experiment: Experiment, output: Path) -> None:
        self._output = output
        self._progress = progress_bar()
        num_runs = len(experiment.methods) * len(experiment.seeds)
        self._bar = self._progress.add_task("runs", total=num_runs)

    def __enter__(self) -> StudyDisplay:
        print_line(f"runs: {self._output}")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: str, method: str, seed: int) -> None:
        """A run of the study waits, started, finished, failed, or had been finished before."""
        if event not in ("started", "waiting"):
            self._progress.advance(self._bar)
        if event != "kept":
            print_line(f"{event:8} {method}, seed {seed}")


def study_table(final: StudyTable) -> None:
    """Methods with the accuracies their runs end at."""
    table = number_table(f"{final.title}. {final.note}", *final.heads)
    for row in final.rows:
        table.add_row(*map(as_text, row))
    print_table(table)

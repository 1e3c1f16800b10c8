"""The report of a study: its finished runs, compared method by method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mtgrpo.errors import RunError
from mtgrpo.reports.html import write_comparison
from mtgrpo.runlog import read_run

if TYPE_CHECKING:
    from mtgrpo.study import Experiment


def write_study_report(experiment: Experiment, output: Path) -> Path:
    """Write ``report.html`` into the study's directory.

    Raises:
        RunError: No run of the study is finished.
    """
    finished = [
        (method, path)
        for method in experiment.methods
        for seed in experiment.seeds
        if (path := output / method / f"seed-{seed}").joinpath("summary.json").is_file()
        and read_run(path).status == "finished"
    ]
    if not finished:
        raise RunError(f"{output}: no finished run of {experiment.name}; run the study first")
    return write_comparison(
        [path for _, path in finished],
        output / "report.html",
        labels=[method for method, _ in finished],
        baseline=experiment.baseline if any(m == experiment.baseline for m, _ in finished) else None,
        thresholds=experiment.thresholds or None,
        title=f"Study: {experiment.name}",
    )

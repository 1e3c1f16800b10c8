"""A report that is written again while its run goes on. Browsers read it again by themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from mtgrpo.reports.html import REFRESH_S, write_report
from mtgrpo.runlog import read_run


def keep_report(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    tell: Callable[[Path], None],
) -> Path:
    """Write the report of a run, again and again until the run has ended.

    Args:
        run_dir: Run directory.
        out: As for `write_report`.
        tell: Called once with the place of the report, when it is there.

    Raises:
        RunError: As `write_report`.
    """
    told = False

    while True:
        goes_on = read_run(run_dir).status == "running"
        path = write_report(run_dir, out)
        if not told:
            tell(path)
            told = True

        if not goes_on:  # the report just written is that of the ended run
            return path
        time.sleep(REFRESH_S)

"""Whether a directory can become that of a new run."""

from __future__ import annotations

import os
from pathlib import Path

from mtgrpo.errors import RunError, counted
from mtgrpo.runlog.files import is_litter, os_errors_as, read_lines
from mtgrpo.runlog.lock import locked_by_live_process
from mtgrpo.runlog.reading import is_run


def check_output(directory: Path) -> None:
    """Refuse what `RunLog.create` would refuse, and change nothing.

    Raises:
        RunError: Something else is in the directory, a run that took a step, or one that a live
            process writes; or it cannot be written.
    """
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent

    if not place.is_dir():
        raise RunError(f"{directory}: {place} is no directory; choose another output directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"{directory}: {place} cannot be written; choose another output directory")

    if place == directory:
        refuse_foreign(directory)
        if locked_by_live_process(directory / ".lock"):
            raise RunError(
                f"{directory}: in use by a run that goes on; choose another output directory"
            )
        refuse_progress(directory)


def refuse_foreign(directory: Path) -> None:
    """Refuse a directory that holds something else than a run.

    Raises:
        RunError: Names what is there.
    """
    with os_errors_as(directory, "read"):
        names = sorted(path.name for path in directory.iterdir() if not is_litter(path))

    others = [name for name in names if name != ".lock"]
    if others and not is_run(directory):
        raise RunError(
            f"{directory}: not empty and not a run (it holds {others[0]!r}); "
            "choose a new directory for the output, or empty this one"
        )


def refuse_progress(directory: Path) -> None:
    """Refuse to start over in a run that took a step.

    Raises:
        RunError: Says how to go on with it.
    """
    steps = len(read_lines(directory / "metrics.jsonl"))
    with os_errors_as(directory, "read"):
        has_checkpoint = any((directory / "checkpoints").glob("*"))

    if steps or has_checkpoint:
        raise RunError(
            f"{directory}: already holds a run of {counted(steps, 'logged step')}; "
            "resume it (--resume), or choose another output directory"
        )

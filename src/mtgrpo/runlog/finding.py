"""Run directories below a folder."""

from __future__ import annotations

from pathlib import Path

from mtgrpo.errors import RunError
from mtgrpo.runlog.files import os_errors_as
from mtgrpo.runlog.reading import is_run

DEPTH = 3
"""Folders below the one given: a study's runs are two below ``runs``."""


def find_runs(folder: Path) -> list[Path]:
    """Directories of runs in a folder and below, or the folder itself, sorted by path.

    Raises:
        RunError: There is no such folder, or it may not be read.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such directory; give a run, or a folder with runs in it")

    found: list[Path] = []
    level = [folder]
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for path in level:
            if is_run(path):
                found.append(path)  # nothing of a run is a run
                continue

            with os_errors_as(path, "read"):
                below += [inner for inner in path.iterdir() if inner.is_dir()]
        level = below

    return sorted(found)

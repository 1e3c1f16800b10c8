"""Pages as files: never in the place of something else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mtgrpo.errors import RunError
from mtgrpo.reports.page import page
from mtgrpo.reports.page_style import MARK, POLICY
from mtgrpo.runlog.files import os_errors_as, write_text

_HEAD = 1000
"""Bytes within which a page says that it is ours."""


def write_page(path: Path, title: str, body: str, *, refresh_s: int = 0) -> Path:
    """Write a page; one that was written before is replaced.

    Args:
        path: The file.
        title: Title of the window.
        body: HTML.
        refresh_s: As for `mtgrpo.reports.page.page`.

    Raises:
        RunError: The file cannot be written, or is there and no page of ours.
    """
    refuse_foreign_file(path)
    write_text(path, page(title, body, refresh_s=refresh_s))
    return path


def refuse_foreign_file(path: Path) -> None:
    """Refuse to write a page in the place of a file that is none of ours; an empty one is free.

    Raises:
        RunError: Names the file.
    """
    if not path.is_file():
        return

    with os_errors_as(path, "read"), open(path, "rb") as file:
        head = file.read(_HEAD)

    # Pages written before there was a mark are known by what they may load.
    is_ours = any(mark.encode() in head for mark in (MARK, POLICY))
    if head and not is_ours:
        raise RunError(
            f"{path}: there already, and no page of mtgrpo; choose another --out, or remove it"
        )


def shared_folder(runs: Sequence[str | os.PathLike[str]]) -> Path:
    """The deepest folder that holds all runs; the current one where that is the root.

    It is relative where the runs are.
    """
    parents = [Path(os.path.abspath(run)).parent for run in runs]
    folder = Path(os.path.commonpath(parents))
    if folder == Path(folder.anchor):
        return Path()

    if any(Path(run).is_absolute() for run in runs):
        return folder
    return Path(os.path.relpath(folder))

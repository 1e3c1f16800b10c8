"""Folders that were saved with ``save_to_disk`` of the package ``datasets``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtgrpo.errors import TaskError, require, unknown


def opened(source: Any, where: str, split: str | None = None, usual: str = "train") -> Any:
    """A saved folder as the dataset in it; any other source as it is.

    Args:
        source: What `mtgrpo.tasks.sources.read_rows.read_rows` takes.
        where: Begins error messages.
        split: The split of a folder that has several; None for the only one or the usual one.
        usual: The split that is taken where none is named and there are several.

    Raises:
        TaskError: The folder cannot be read, has no such split, or the source has none.
        MissingExtra: `datasets` is not installed.
    """
    if isinstance(source, (str, Path)) and is_saved(Path(source)):
        return _loaded(Path(source), f"{where}: {source}", split, usual)

    if split is not None:
        what = f"{source}" if isinstance(source, (str, Path)) else "rows in memory"
        raise TaskError(
            f"{where}: {what}: split {split!r} was asked for, but only a folder saved with "
            "datasets' save_to_disk has splits; leave it out, or give such a folder"
        )
    return source


def is_saved(path: Path) -> bool:
    """Whether a folder holds a saved `Dataset` or `DatasetDict`."""
    own_files = ("state.json", "dataset_info.json")
    return _has_splits(path) or all((path / name).is_file() for name in own_files)


def _has_splits(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file()


def _loaded(path: Path, where: str, split: str | None, usual: str) -> Any:
    if split is not None and not _has_splits(path):
        raise TaskError(
            f"{where}: split {split!r} was asked for, but this is one dataset without splits; "
            "leave the split out"
        )

    datasets: Any = require("datasets", "trl")
    try:
        loaded: Any = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise TaskError(f"{where}: cannot be read: {type(error).__name__}: {reason}") from error

    if _has_splits(path):
        loaded = loaded[_chosen(loaded, split, usual, where)]
    return loaded.with_format(None)  # it may have been saved to give tensors


def _chosen(splits: Iterable[str], split: str | None, usual: str, where: str) -> str:
    names = list(splits)
    if split is None and len(names) == 1:
        return names[0]

    wanted = usual if split is None else split
    if wanted not in names:
        raise TaskError(unknown(where, "split", wanted, names))
    return wanted

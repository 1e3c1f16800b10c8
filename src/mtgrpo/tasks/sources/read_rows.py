"""Reading rows from files and from objects that hold rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from mtgrpo.errors import TaskError, did_you_mean, require
from mtgrpo.tasks.sources.csv_rows import SEPARATORS, read_csv
from mtgrpo.tasks.sources.saved_rows import opened

RowSource: TypeAlias = "str | Path | Iterable[Mapping[str, Any]]"
"""A JSON, CSV, TSV or Parquet file, a folder of `save_to_disk`, rows, or a `Dataset`."""

NEEDED = "a .jsonl, .json, .csv, .tsv or .parquet file"


def read_rows(source: RowSource, where: str) -> list[dict[str, Any]]:
    """All rows of a source, in memory.

    Args:
        source: The path of a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file, or of
            a folder that `datasets` saved; or an iterable of mappings.
        where: Begins error messages.

    Raises:
        TaskError: the file is missing or unreadable, a line cannot be read, or there are no rows.
        MissingExtra: it is a Parquet file, and pyarrow is not installed, or a saved folder, and
            `datasets` is not.
    """
    source = opened(source, where)
    if isinstance(source, (str, Path)):
        path = Path(source)
        rows = _read_file(path, where)
        where = f"{where}: {path}"
    else:
        rows = _from_iterable(source, where)

    if not rows:
        raise TaskError(f"{where}: no rows; at least one is needed")
    return rows


def require_column(rows: Sequence[Mapping[str, Any]], column: str, where: str) -> None:
    """Raise `TaskError` when a row lacks the column."""
    for i, row in enumerate(rows):
        if column in row:
            continue

        names = [str(name) for name in row]
        hint = did_you_mean(column, names)
        raise TaskError(
            f"{where}: row {i} has no column {column!r}{hint}; columns there are: "
            f"{', '.join(names) or 'none'}"
        )


def _read_file(path: Path, where: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise TaskError(
            f"{where}: {path}: {_what_is_there(path)}; {NEEDED} is needed, or a folder saved with "
            "datasets' save_to_disk"
        )

    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return _read_jsonl(path, where)
    if suffix == ".json":
        return _read_json(path, where)
    if suffix == ".parquet":
        return _read_parquet(path, where)
    if suffix in SEPARATORS:
        return read_csv(path, where)

    raise TaskError(f"{where}: {path}: unknown file type; {NEEDED} can be read")


def _what_is_there(path: Path) -> str:
    """What there is in the place of a file, for messages."""
    if path.is_dir():
        return (
            "a directory that save_to_disk did not write (one with files that datasets reads goes "
            "into a 'hub:' entry)"
        )

    folder = path.parent
    if not folder.is_dir():
        hint = ""
        found = f"no such file, nor its folder {folder}"
    else:
        hint = did_you_mean(path.name, [other.name for other in folder.iterdir()])
        found = "no such file"
    if path.is_absolute():
        return found + hint
    return f"{found}{hint}; it was looked for in the working directory, as {path.absolute()}"


def _read_jsonl(path: Path, where: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(_parse_line(line, f"{where}: {path}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{where}: {path}: cannot be read: {error}") from error
    return rows


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: no JSON: {error}") from error

    if not isinstance(row, dict):
        raise TaskError(f"{where}: found {type(row).__name__}; one JSON object a line is needed")
    return cast("dict[str, Any]", row)


def _read_json(path: Path, where: str) -> list[dict[str, Any]]:
    where = f"{where}: {path}"
    needed = "a list of objects is needed, [{...}, ...]; one object a line needs a .jsonl file"
    try:
        rows: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{where}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: no JSON: {error}; {needed}") from error

    if not isinstance(rows, list):
        raise TaskError(f"{where}: found {type(rows).__name__}; {needed}")
    return _from_iterable(rows, where)


def _read_parquet(path: Path, where: str) -> list[dict[str, Any]]:
    parquet: Any = require("pyarrow.parquet", "trl")
    arrow: Any = require("pyarrow", "trl")
    try:
        return cast("list[dict[str, Any]]", parquet.read_table(path).to_pylist())
    except (OSError, arrow.ArrowException) as error:
        raise TaskError(f"{where}: {path}: cannot be read: {error}") from error


def _from_iterable(source: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(source, Mapping):
        kind = type(cast("object", source)).__name__
        splits = ", ".join(str(key) for key in cast("Mapping[object, object]", source))
        raise TaskError(f"{where}: found a {kind} of {splits}; choose one split")
    if not isinstance(source, Iterable):
        raise TaskError(f"{where}: found a {type(source).__name__}; a path or rows are needed")

    rows: list[dict[str, Any]] = []
    for i, row in enumerate(cast("Iterable[Any]", source)):
        if not isinstance(row, Mapping):
            raise TaskError(f"{where}: row {i} is a {type(row).__name__}; a mapping is needed")
        rows.append(dict(cast("Mapping[str, Any]", row)))
    return rows

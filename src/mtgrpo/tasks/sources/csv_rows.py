"""Rows of CSV and TSV files: a header that names the columns, and texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtgrpo.errors import TaskError, counted

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""What stands between two fields, by the file's suffix."""

NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}


def read_csv(path: Path, where: str) -> list[dict[str, Any]]:
    """The rows of a file, every value a text; lines without anything are passed over.

    Args:
        path: It ends in one of `SEPARATORS`, in any case.
        where: Begins error messages.

    Raises:
        TaskError: The file is unreadable, empty or not UTF-8, the header has a name that is
            missing, doubled or with space around it, or a line does not fit the header.
    """
    separator = SEPARATORS[path.suffix.lower()]
    where = f"{where}: {path}"
    reader = csv.reader(
        io.StringIO(_text(path, where), newline=""), delimiter=separator, strict=True
    )

    header: list[str] = []
    rows: list[dict[str, Any]] = []
    line = 1  # where the record begins: quoted fields may have several lines
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise TaskError(
                f"{where}:{line}: {error}; a field with {NAMES[separator]}, a quotation mark or "
                'a line end stands in quotation marks, with "" for each one inside; fields of more '
                f"than {csv.field_size_limit():,} characters need a .jsonl or .parquet file"
            ) from error
        if fields is None:
            break

        is_blank = len(fields) == 1 < len(header) and not fields[0].strip()
        if fields and not header:
            header = fields
            _check_header(header, separator, f"{where}:{line}")
        elif fields and not is_blank:
            rows.append(_row(header, fields, separator, f"{where}:{line}"))
        line = reader.line_num + 1

    if not header:
        raise TaskError(f"{where}: empty; a first line with the names of the columns is needed")
    return rows


def _text(path: Path, where: str) -> str:
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise TaskError(f"{where}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{where}:{line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file "
            "as UTF-8, in a spreadsheet as 'CSV UTF-8'"
        ) from error


def _check_header(header: Sequence[str], separator: str, where: str) -> None:
    for number, name in enumerate(header, 1):
        if not name.strip():
            raise TaskError(
                f"{where}: column {number} has no name; the first line names the columns: give it "
                "one, or leave the column out (pandas: to_csv(path, index=False))"
            )
        if name != name.strip():
            raise TaskError(
                f"{where}: the column {name!r} has space around its name, which its values would "
                f"have, too; write nothing but {NAMES[separator]} between two fields"
            )
        if name in header[: number - 1]:
            raise TaskError(
                f"{where}: two columns are called {name!r}; give each a name of its own"
            )

    others = [NAMES[mark] for mark in NAMES if mark != separator and mark in header[0]]
    if len(header) == 1 and others:
        raise TaskError(
            f"{where}: one column, {header[0]!r}, in whose name {others[0]} stands; between the "
            f"columns of this file {NAMES[separator]} is needed: write it with that, or with the "
            "other suffix (.csv has commas, .tsv tabs)"
        )


def _row(
    header: Sequence[str], fields: Sequence[str], separator: str, where: str
) -> dict[str, str]:
    if len(fields) != len(header):
        raise TaskError(
            f"{where}: {counted(len(fields), 'field')}, but the header names "
            f"{counted(len(header), 'column')}; write one for each column, empty ones too, and "
            f"put fields with {NAMES[separator]} in quotation marks"
        )
    return dict(zip(header, fields, strict=True))

"""Files that survive a crash: files replaced atomically, lines appended whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtgrpo.errors import MtgrpoError, RunError


@contextlib.contextmanager
def os_errors_as(
    path: Path, doing: str, error_class: type[MtgrpoError] = RunError
) -> Iterator[None]:
    """Turn an `OSError` (disk full, permission denied, ...) into one clear line about `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise error_class(
            f"{path}: cannot be {doing} ({reason}); "
            "check that the place exists, is yours and has free space"
        ) from error


def plain(value: Any, where: str, *, exact: bool = False, infinite: bool = False) -> Any:
    """`value` as JSON knows it: dict, list, str, int, float, bool, None.

    Args:
        value: Mappings, sequences, numbers (numpy's too), strings, paths, None, nested.
        where: Name of what is written, for the error.
        exact: Refuse what would not come back the same: NaN, infinities, keys that are not
            strings. Otherwise these become null, null and strings.
        infinite: Keep NaN and infinities, which YAML has a form for.

    Raises:
        RunError: Something JSON has no form for.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value

    if isinstance(value, float):
        if math.isfinite(value) or infinite:
            return float(value)
        if exact:
            raise RunError(f"{where}: {value}; finite numbers are needed")
        return None

    inner = functools.partial(plain, exact=exact, infinite=infinite)
    if isinstance(value, Mapping):
        for key in value:
            if exact and not isinstance(key, str):
                raise RunError(f"{where}: the key {key!r}; text is needed for keys")
        return {str(k): inner(v, f"{where}: {k}") for k, v in value.items()}

    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [inner(v, f"{where}[{i}]") for i, v in enumerate(value)]

    if isinstance(value, os.PathLike):
        return os.fspath(value)

    to_list = getattr(value, "tolist", None)  # numpy scalars and arrays, without importing numpy
    if callable(to_list):
        return inner(to_list(), where)

    raise RunError(
        f"{where}: a {type(value).__name__}; only numbers, text, lists and mappings can be written"
    )


def write_text(path: Path, text: str, error_class: type[MtgrpoError] = RunError) -> None:
    """Replace a whole file atomically and durably: readers see the old text or the new one.

    Raises:
        RunError: (or `error_class`) The file cannot be written; the old one is untouched.
    """
    with os_errors_as(path, "written", error_class):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )

        try:
            # a lone surrogate, from a model's broken text, has no UTF-8 form: it becomes "?"
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

            # mkstemp makes private files, but a run is read by others
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)

            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

        sync_directory(path.parent)


def is_litter(path: Path) -> bool:
    """Whether a file is what `write_text` leaves when its process is killed in the middle."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file; NaN and infinities become null."""
    write_text(path, json.dumps(plain(value, path.name), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file; None when there is no such file.

    Raises:
        RunError: The file is unreadable or not JSON.
    """
    with os_errors_as(path, "read"):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            raise RunError(
                f"{path}: not valid JSON; the file is damaged; restore it or delete it"
            ) from None


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append one object as one line, whole: a half line on a full disk is taken back."""
    line = (json.dumps(plain(value, path.name), allow_nan=False) + "\n").encode("ascii")

    with os_errors_as(path, "written"), open(path, "ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)

        try:
            rest = line
            while rest:
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(start)
            raise


def read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Lines of a JSON-lines file with the objects they hold.

    A torn last line (kill -9, power cut) is left out.

    Raises:
        RunError: The file is unreadable, or a line that is not the last is damaged.
    """
    with os_errors_as(path, "read"):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return []

    objects: list[tuple[bytes, dict[str, Any]]] = []
    lines = raw.split(b"\n")
    last = max((i for i, line in enumerate(lines) if line.strip()), default=-1)

    for i, line in enumerate(lines[: last + 1]):
        if not line.strip():
            continue

        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None

        if isinstance(value, dict):
            objects.append((line, value))
        elif i != last:
            raise RunError(
                f"{path}: line {i + 1} is damaged; "
                "one JSON object per line is needed; delete that line"
            )

    return objects


def keep_lines(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the torn last line, and lines whose object is not wanted.

    The file is left untouched when there is nothing to drop.
    """
    if not path.exists():
        return

    lines = read_lines(path)
    text = b"".join(line + b"\n" for line, value in lines if wanted(value))

    with os_errors_as(path, "read"):
        unchanged = path.read_bytes() == text

    if not unchanged:
        write_text(path, text.decode("utf-8"))


def sync(path: Path) -> None:
    """Make what was appended to a file durable; nothing to do when there is no such file.

    Raises:
        RunError: The file cannot be synced.
    """
    with os_errors_as(path, "synced"):
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return

        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename durable. Not every file system can; the rename itself is done by now."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

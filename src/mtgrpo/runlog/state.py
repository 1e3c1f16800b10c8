"""Small states (a mixer's) in checkpoints: JSON with a checksum, torn or foreign files refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgrpo.errors import RunError, StateError, counted
from mtgrpo.runlog.files import os_errors_as, plain, write_text

FORMAT, VERSION = "mtgrpo-state", 1


def save_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state atomically: ``{"format", "version", "sha256" of the payload, "payload"}``.

    Args:
        path: File; its folder is made.
        state: JSON-able values, numpy's too, all finite: a state comes back exactly as it was.

    Raises:
        StateError: NaN or infinity, something JSON cannot hold, or the file cannot be written.
    """
    file = Path(path)

    try:
        payload = plain(state, str(file), exact=True)
    except RunError as error:
        raise StateError(str(error)) from None

    record = {"format": FORMAT, "version": VERSION, "sha256": _digest(payload), "payload": payload}
    write_text(file, json.dumps(record, allow_nan=False) + "\n", StateError)


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state that `save_state` wrote.

    Raises:
        StateError: The file is missing, torn, changed, of another program, or of a newer version.
    """
    file = Path(path)
    fix = "use another checkpoint"

    with os_errors_as(file, "read", StateError):
        raw = file.read_bytes()

    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        raise StateError(
            f"{file}: not valid JSON ({counted(len(raw), 'byte')}); it is torn or foreign; {fix}"
        ) from None

    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise StateError(f"{file}: not a state file of mtgrpo (no {FORMAT!r} mark); {fix}")

    if record.get("version") != VERSION:
        raise StateError(
            f"{file}: state format version {record.get('version')!r}; "
            f"this mtgrpo reads version {VERSION}; resume with the mtgrpo that wrote it"
        )

    payload = record.get("payload")
    if not isinstance(payload, dict):
        raise StateError(f"{file}: the payload is missing; {fix}")

    if _digest(payload) != record.get("sha256"):
        raise StateError(
            f"{file}: the checksum does not match; the file was changed or damaged; {fix}"
        )

    return payload


def _digest(payload: Any) -> str:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()

"""Whole checkpoints: sealed once all of it is on disk, checked before any of it is loaded.

An engine writes a checkpoint file by file. A run that is killed meanwhile leaves only some of
them, and a failing disk can spoil any of them later. The seal is written last: it lists every
file with its size, and the checksum of all but the largest. It also says of which step and run
the checkpoint is, and how far the run's log had come.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo.errors import MtgrpoError, StateError, counted
from mtgrpo.runlog.continuity import LogEnd, LoggedSteps
from mtgrpo.runlog.files import os_errors_as
from mtgrpo.runlog.state import load_state, save_state

SEAL_FILE = "checkpoint.json"
STATE_FILE = "mixer.json"
"""The mixer's part of a checkpoint."""
HASHED_BYTES = 64 * 2**20
"""Larger files (weights and optimizer states of real models) are checked by size alone: reading
them takes minutes."""
_PREFIX = "checkpoint-"
# What torch and safetensors say when a file cannot be written.
_DISK = re.compile(
    r"PytorchStreamWriter|inline_container|I/O error|iostream error"
    r"|No space left|Disk quota|Read-only|Permission denied"
)
_FULL_BYTES = 2**20  # free space on a disk on which nothing of a checkpoint finds room
_NO_SEAL = f"no {SEAL_FILE}: it was still being written when its run ended, or plain TRL wrote it"


@dataclass(frozen=True, slots=True)
class Newest:
    """What a run can go on from.

    Attributes:
        path: The newest usable checkpoint; None when there is none.
        unusable: Newer ones with what is wrong with each.
    """

    path: Path | None
    unusable: dict[Path, str]


def is_checkpoint(path: Path) -> bool:
    """Whether a path has the name of a checkpoint, ``checkpoint-<step>``."""
    step = path.name.removeprefix(_PREFIX)
    return path.name.startswith(_PREFIX) and step.isdecimal() and step.isascii()


def checkpoint_step(path: Path) -> int:
    """The step in the name ``checkpoint-<step>``."""
    return int(path.name.removeprefix(_PREFIX))


@contextmanager
def writing(checkpoint: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into one clear line, in any library.

    Raises:
        StateError: The checkpoint cannot be written; says which one is left to go on from.
    """
    try:
        yield
    except Exception as error:  # torch raises RuntimeError, safetensors a class of its own
        if not isinstance(error, OSError) and not _DISK.search(str(error)):
            raise

        raise StateError(
            f"{checkpoint}: cannot be written ({_reason(error, checkpoint)}); "
            f"make room, or fix the permissions, and resume: {instead_of(checkpoint)}"
        ) from error


def seal(checkpoint: Path, *, seed: int | None = None, log: LogEnd | None = None) -> None:
    """Declare a checkpoint whole: make its files durable, list them, and say what it belongs to.

    Nothing may be written into it afterwards.

    Args:
        checkpoint: Its directory, ``checkpoint-<step>``.
        seed: Seed of the run.
        log: How far the run's log has come, from `RunLog.sync`; None without a run directory.

    Raises:
        StateError: The list cannot be written, or a file cannot be read.
    """
    files: dict[str, dict[str, object]] = {}

    with os_errors_as(checkpoint, "sealed", StateError):
        for path in _files(checkpoint):
            with open(path, "rb") as file:
                os.fsync(file.fileno())

            size = path.stat().st_size
            entry: dict[str, object] = {"bytes": size}
            if size <= HASHED_BYTES:
                entry["sha256"] = _digest(path)

            files[path.relative_to(checkpoint).as_posix()] = entry

    belongs_to = {
        "step": checkpoint_step(checkpoint),
        "seed": seed,
        "log": None if log is None else log.as_dict(),
    }
    save_state(checkpoint / SEAL_FILE, {**belongs_to, "files": files})


def defect(checkpoint: Path, log: LoggedSteps | None = None) -> str:
    """What is wrong with a checkpoint, in words; empty when it is whole and where it belongs.

    Args:
        checkpoint: Its directory.
        log: The log of the run that is to go on from it; None leaves the run out of account.
    """
    seal_file = checkpoint / SEAL_FILE
    if not seal_file.is_file():
        return _NO_SEAL

    try:
        content = load_state(seal_file)
        wrong = _misplaced(checkpoint, content, log) or _spoiled(checkpoint, content["files"])
    except MtgrpoError as error:
        return str(error)

    return wrong


def newest(
    folder: Path,
    log: LoggedSteps | None = None,
    misfit: Callable[[Path], str] = lambda path: "",
) -> Newest:
    """The newest usable checkpoint in a folder, and the newer ones that are not.

    Args:
        folder: Folder of the checkpoints.
        log: The log of the run that is to go on; None leaves the run out of account.
        misfit: Says of a whole one why the run cannot use it; empty when it can.
    """
    unusable: dict[Path, str] = {}

    for path in reversed(_checkpoints(folder)):
        wrong = defect(path, log) or misfit(path)
        if not wrong:
            return Newest(path, unusable)
        unusable[path] = wrong

    return Newest(None, unusable)


def log_gap(checkpoint: Path, log: LoggedSteps) -> str:
    """What a log lacks of what a checkpoint counts on, in words; empty when it lacks nothing.

    Raises:
        StateError: The seal is unreadable or damaged.
    """
    seal_file = checkpoint / SEAL_FILE
    end = load_state(seal_file).get("log") if seal_file.is_file() else None
    if end is None:
        return ""

    return log.gap(LogEnd.from_dict(end))


def instead_of(checkpoint: Path) -> str:
    """Advice where a checkpoint cannot be used: the last good one beside it."""
    good = newest(checkpoint.parent).path
    if good is None:
        return "there is no other whole one beside it"

    return f"the last good one is {good}"


def set_aside(path: Path) -> None:
    """Take an unusable checkpoint out of the way of later ones, which would count it among them.

    One that the engine itself did not finish is deleted. Others keep their files under another
    name: ``unusable-checkpoint-<step>``.

    Raises:
        StateError: It cannot be moved.
    """
    with os_errors_as(path, "set aside", StateError):
        if not (path / SEAL_FILE).exists() and not (path / "trainer_state.json").exists():
            shutil.rmtree(path)
            return

        target = path.with_name(f"unusable-{path.name}")
        number = 1
        while target.exists():
            number += 1
            target = path.with_name(f"unusable-{path.name}-{number}")

        path.rename(target)


def rotate(folder: Path, keep: int, protected: Path | None = None) -> None:
    """Delete all but the newest `keep` checkpoints; call it once the newest is sealed.

    Args:
        folder: Folder of the checkpoints.
        keep: How many stay, at least 1.
        protected: A checkpoint that stays besides, such as the best.
    """
    for path in _checkpoints(folder)[:-keep]:
        if path != protected:
            shutil.rmtree(path, ignore_errors=True)


def _misplaced(checkpoint: Path, content: Mapping[str, Any], log: LoggedSteps | None) -> str:
    """In what a checkpoint is not the one that its name and its run's log speak of."""
    if "step" not in content:
        return "an earlier version of mtgrpo sealed it; resume with that version"
    if is_checkpoint(checkpoint) and content["step"] != checkpoint_step(checkpoint):
        return f"it is the checkpoint of step {content['step']} under another name"

    if log is None or content["log"] is None:
        return ""

    end = LogEnd.from_dict(content["log"])
    if end.run_id != log.run_id:
        return f"it is of another run (with seed {content['seed']})"

    return log.gap(end)


def _spoiled(checkpoint: Path, listed: Mapping[str, Any]) -> str:
    """In what the files of a checkpoint differ from the list in its seal."""
    with os_errors_as(checkpoint, "read", StateError):
        for name, entry in listed.items():
            path = checkpoint / name
            if not path.is_file():
                return f"{name} is missing"

            size = path.stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {counted(size, 'byte')} instead of {entry['bytes']}"
            if "sha256" in entry and _digest(path) != entry["sha256"]:
                return f"{name} was changed or damaged"

    return ""


def _reason(error: Exception, checkpoint: Path) -> str:
    """Why a write failed, in a few words."""
    cause = error.__cause__ if isinstance(error, MtgrpoError) else error
    if reason := getattr(cause, "strerror", None):
        return reason

    # torch says of a full disk that a position is unexpected
    place = next(path for path in (checkpoint, *checkpoint.absolute().parents) if path.exists())
    if shutil.disk_usage(place).free < _FULL_BYTES:
        return os.strerror(errno.ENOSPC)

    return " ".join(str(cause).split())[:200]


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest first."""
    checkpoints: list[Path] = []

    with os_errors_as(folder, "read", StateError):
        for path in folder.glob(_PREFIX + "*"):
            if path.is_dir() and is_checkpoint(path):
                checkpoints.append(path)

    return sorted(checkpoints, key=checkpoint_step)


def _files(checkpoint: Path) -> Iterator[Path]:
    """Everything in a checkpoint but its seal, and what a killed attempt left half written."""
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != SEAL_FILE and not path.name.endswith(".tmp"):
            yield path


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()

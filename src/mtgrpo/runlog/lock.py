"""Who writes a run directory: a file with process id and host keeps two trainers apart."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path
from typing import IO, Any

from mtgrpo.errors import RunError
from mtgrpo.runlog.files import os_errors_as

try:
    import fcntl
except ImportError:  # no POSIX system: two processes may take over the same dead lock
    fcntl = None


class Lock:
    """Held from `acquire` to `release`.

    A dead process's lock is taken over. That of another host has to be deleted by hand.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine: dict[str, Any] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunError: A live process, or one on another host, holds it.
        """
        mine = _identity(os.getpid())

        while True:
            with os_errors_as(self.path, "locked"), open(self.path, "a+", encoding="utf-8") as file:
                _guard(file)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # its holder removed it while we waited

                file.seek(0)
                holder = _parse(file.read())
                if holder is not None and _alive(holder):
                    raise RunError(_in_use(self.path, holder, mine))

                file.truncate(0)
                file.write(json.dumps(mine))
                self._mine = mine
                return

    def release(self) -> None:
        """Give the lock back. Does nothing in a forked child, or when it is not held."""
        if self._mine is None or self._mine["pid"] != os.getpid():
            return

        with contextlib.suppress(OSError):
            if _parse(self.path.read_text(encoding="utf-8")) == self._mine:
                self.path.unlink()

        self._mine = None


def locked_by_live_process(path: Path) -> bool:
    """Whether somebody writes this run now, as far as this host can tell."""
    try:
        holder = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return False
    return holder is not None and _alive(holder)


def _guard(file: IO[str]) -> None:
    """Hold others off while the lock file is read and rewritten, if the file system can."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _in_use(path: Path, holder: dict[str, Any], mine: dict[str, Any]) -> str:
    where = f"{path.parent}: in use by"
    process = f"process {holder['pid']}"

    if holder == mine:
        return f"{where} this very process; close the RunLog that is open"

    if holder["host"] != mine["host"]:
        return f"{where} {process} on host {holder['host']!r}; if it is gone, delete {path}"

    return f"{where} {process}; wait for it, stop it, or choose another output directory"


def _parse(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None  # empty, or torn by a crash: nobody holds it

    if not isinstance(value, dict) or not isinstance(value.get("pid"), int):
        return None
    if not isinstance(value.get("host"), str):
        return None

    return value


def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "host": platform.node(), "started": _started(pid)}


def _alive(holder: dict[str, Any]) -> bool:
    if holder["host"] != platform.node() or os.name != "posix":
        return True  # cannot be told from here

    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass

    # Process ids are reused, in containers right after a restart: the start time tells them apart.
    started = _started(holder["pid"])
    if started == "zombie":
        return False

    return not started or not holder.get("started") or started == holder["started"]


def _started(pid: int) -> str:
    """Boot and start time of a process on Linux; empty where they are not known.

    ``"zombie"`` says that the process is over but not yet collected.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")

        # after the command name, which may hold anything: state is field 3, start time field 22
        fields = status.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return "zombie"

        return f"{boot}/{fields[19]}"
    except (OSError, IndexError):
        return ""

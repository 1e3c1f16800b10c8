"""The head and the end of a run that a user's own script makes: `mtgrpo train` writes its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgrpo.runlog.files import os_errors_as
from mtgrpo.runlog.reading import read_run
from mtgrpo.runlog.summary import summarize
from mtgrpo.runlog.writer import RunLog

SCRIPT = "script"
"""Key of ``config.yaml`` that says so."""


class ScriptRun:
    """Describes a run that nobody else has described, and says how it ended.

    Args:
        log: Its log.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._status: str | None = None

    def begin(self, config: Mapping[str, Any], step: int) -> None:
        """Training starts, or goes on.

        Args:
            config: What is worth knowing about it, in plain values.
            step: Steps done; what the log has of later ones is forgotten.
        """
        described = read_run(self._log.path).config
        if described and SCRIPT not in described:
            return

        self._status = "running"
        if step:
            self._log.truncate_after(step)
        with os_errors_as(self._log.path, "emptied"):
            (self._log.path / "summary.json").unlink(missing_ok=True)

        self._log.write_config({SCRIPT: _script(), **config})
        self._log.write_environment(seed=config.get("seed"))
        self._log.on_error = self.fail

    def end(self) -> None:
        """Training is over."""
        if self._status is not None:
            self._status = "finished"
            self._write()

    def evaluated(self) -> None:
        """An evaluation was logged; one after training belongs to the summary."""
        if self._status == "finished":
            self._write()

    def fail(self, error: BaseException) -> None:
        """Something else ended the run."""
        if self._status == "running":
            self._status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self._write(error=" ".join(str(error).split()) or type(error).__name__)

    def _write(self, **more: str) -> None:
        self._log.write_summary({**summarize(self._log.path, str(self._status)), **more})


def _script() -> str:
    name = sys.argv[0] if sys.argv else ""
    return name if Path(name).is_file() else "(interactive)"

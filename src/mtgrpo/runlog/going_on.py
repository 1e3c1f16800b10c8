"""How to go on with a run that ended before its last step."""

from __future__ import annotations

import os
import shlex

from mtgrpo.runlog.records import Run

ENDED_EARLY = ("interrupted", "failed", "killed")


def resume_line(run: Run) -> str:
    """The command that goes on with a run; empty for one that is finished or still going on."""
    if run.status not in ENDED_EARLY:
        return ""

    if script := run.config.get("script"):
        where = "with resume_from_checkpoint=True" if run.checkpoints() else "from the start"
        return f"python {shlex.quote(str(script))}  # {where}: this run was made by a script"

    directory = shlex.quote(os.fspath(run.path))
    return f"mtgrpo train {directory} --resume"

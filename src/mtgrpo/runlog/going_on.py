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
        how = "with trainer.train(resume_from_checkpoint=True)"
        if not run.checkpoints():
            how = "from the start: no step was saved"
        return f"python {shlex.quote(str(script))}  # {how}"

    directory = shlex.quote(os.fspath(run.path))
    return f"mtgrpo train {directory} --resume"

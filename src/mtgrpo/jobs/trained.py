"""Which weights stand for a run."""

from __future__ import annotations

from pathlib import Path

from mtgrpo.runlog import read_run
from mtgrpo.runlog.checkpoints import newest
from mtgrpo.runlog.reading import is_run


def trained_model(source: str) -> Path | None:
    """What a run directory's training has come to; None where there are no trained weights.

    The final model of a finished run, which is that of the best step under
    ``load_best_model_at_end``. Before the end, or when the run goes on, its newest whole
    checkpoint.

    Args:
        source: A run directory. Anything else, such as a configuration's name, has None.

    Raises:
        RunError: The directory cannot be read, or is damaged.
    """
    path = Path(source)
    if not path.is_dir() or not is_run(path):
        return None

    final = path / "model"
    if final.is_dir() and read_run(path).status == "finished":
        return final

    return newest(path / "checkpoints").path

"""How to go on with a run that ended before its last step."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.runlog import RunLog, read_run
from mtgrpo.runlog.going_on import resume_line


@pytest.fixture
def log(tmp_path: Path):  # type: ignore[no-untyped-def]
    with RunLog.create(tmp_path / "my run", ["a"]) as log:
        yield log


def test_the_command_line_goes_on_with_its_own_runs(log: RunLog) -> None:
    assert resume_line(read_run(log.path)) == ""  # it is running
    for status in ("interrupted", "failed"):
        log.write_summary({"status": status})
        assert resume_line(read_run(log.path)) == f"mtgrpo train '{log.path}' --resume"
    log.write_summary({"status": "finished"})
    assert resume_line(read_run(log.path)) == ""


def test_a_script_goes_on_with_its_own(log: RunLog) -> None:
    log.write_config({"script": "train it.py"})
    log.write_summary({"status": "interrupted"})
    line = resume_line(read_run(log.path))
    assert line.startswith("python 'train it.py'  # from the start")
    (log.path / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    assert "# with trainer.train(resume_from_checkpoint=True)" in resume_line(read_run(log.path))

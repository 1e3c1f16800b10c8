"""Which weights stand for a run directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.jobs.trained import trained_model
from mtgrpo.runlog import RunLog, checkpoints


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def]
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        yield log


def save(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights").write_text("w")
    return folder


def test_what_is_no_run_has_no_trained_model(tmp_path: Path) -> None:
    assert trained_model("demo") is None
    assert trained_model(str(tmp_path)) is None


def test_the_final_model_or_before_the_end_the_newest_whole_checkpoint(run: RunLog) -> None:
    source = str(run.path)
    assert trained_model(source) is None

    for step in (2, 4):
        checkpoint = save(run.path / "checkpoints" / f"checkpoint-{step}")
        checkpoints.seal(checkpoint)
    save(run.path / "checkpoints" / "checkpoint-6")  # still being written
    assert trained_model(source) == run.path / "checkpoints" / "checkpoint-4"

    final = save(run.path / "model")
    assert trained_model(source) == run.path / "checkpoints" / "checkpoint-4"  # it goes on
    run.write_summary({"status": "finished"})
    assert trained_model(source) == final

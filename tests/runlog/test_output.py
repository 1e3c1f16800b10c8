"""Whether a directory can become that of a new run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtgrpo.errors import RunError
from mtgrpo.runlog import RunLog
from mtgrpo.runlog.output import check_output


def test_a_new_place_an_empty_one_and_a_run_without_a_step_are_free(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b")
    check_output(tmp_path)
    RunLog.create(tmp_path / "run", ["a"]).close()
    check_output(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_what_create_refuses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError):
            check_output(path)
        with pytest.raises(RunError):
            RunLog.create(path, ["a"])

    with RunLog.create(tmp_path / "run", ["a"]) as log:
        with pytest.raises(RunError, match="in use"):
            check_output(log.path)
        log.log_metrics(1, 1, {})
    with pytest.raises(RunError, match="already holds a run of 1 logged step"):
        check_output(tmp_path / "run")


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(RunError, match="cannot be written; choose another output directory"):
        check_output(tmp_path / "run")

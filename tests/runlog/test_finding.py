"""Run directories below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.errors import RunError
from mtgrpo.runlog import RunLog
from mtgrpo.runlog.finding import find_runs


def test_runs_are_found_below_a_folder_and_nothing_is_looked_for_in_them(tmp_path: Path) -> None:
    paths = [tmp_path / "b", tmp_path / "a", tmp_path / "study" / "dapo" / "seed-0"]
    for path in paths:
        RunLog.create(path, ["t"]).close()
    (tmp_path / "a" / "checkpoints" / "run.json").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")

    assert find_runs(tmp_path) == sorted(paths)
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]
    assert find_runs(tmp_path / "empty") == []
    with pytest.raises(RunError, match="no such directory; give a run, or a folder with runs"):
        find_runs(tmp_path / "nowhere")

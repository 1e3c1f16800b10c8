"""The runs in a directory, a line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.cli import main
from mtgrpo.console import runs
from mtgrpo.runlog import RunLog


def test_status_steps_scores_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs.console, "_width", 300)
    row = {"reward": 0.5, "num_prompts": 4, "std_error": 0.1}
    with RunLog.create(tmp_path / "one", ["a"]) as log:
        log.write_config({"steps": 4})
        log.log_evaluation(0, 0, {"a": {"accuracy": 0.5, **row}}, num_samples=2)
        log.log_metrics(1, 1000, {}, elapsed_s=60.0)
        log.log_metrics(2, 2000, {}, elapsed_s=120.0)
        with RunLog.create(tmp_path / "two", ["a"]) as other:
            other.write_summary({"status": "interrupted"})
        assert main(["runs", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [
        [str(tmp_path / "one"), "running", "2/4", "50.0", "50.0", "2,000", "2 min", "2 min"],
        [str(tmp_path / "two"), "interrupted", "0/?", "", "", "", "", ""],
    ]
    assert lines[-1] == f"mtgrpo train {tmp_path / 'two'} --resume"

    assert main(["runs", str(tmp_path / "nowhere")]) == 2

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


@pytest.mark.parametrize("width", [60, 80, 120])
def test_paths_are_whole_however_narrow_the_terminal_is(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.console, "_width", width)
    long = "nine_tasks/" + "grpo_fair_temperature_0.5_" * 4 + "/seed-0"
    for name in ("short", long):
        with RunLog.create(Path("runs") / name, ["a"]) as log:
            log.write_config({"steps": 4})
            log.write_summary({"status": "finished"})

    assert main(["runs"]) == 0
    piped = capsys.readouterr().out.splitlines()
    assert len(piped) == 7, "title, head of three lines, two runs, end"
    assert f"runs/{long} " in piped[4]
    assert "finished" in piped[4]
    assert "…" not in "".join(piped)

    monkeypatch.setattr(runs.console, "_force_terminal", True)
    assert main(["runs"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"runs/{long}" in shown, "on a line of its own"
    assert any("finished" in line and len(line) < width for line in shown)

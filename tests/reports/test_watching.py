"""A report that is written again while its run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from mtgrpo.cli import main
from mtgrpo.reports import watching
from mtgrpo.runlog import RunLog

REFRESH = '<meta http-equiv="refresh" content="30">'


def test_a_report_follows_its_run_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    seen: list[str] = []
    log = RunLog.create(tmp_path / "run", ["a"])
    log.write_config({"steps": 4})
    log.log_metrics(1, 8, {"loss": 0.5}, elapsed_s=60.0)
    log.log_metrics(2, 16, {"loss": 0.5}, elapsed_s=120.0)

    def end(seconds: float) -> None:
        assert seconds == 30
        seen.append(report.read_text())
        log.write_summary({"status": "finished"})
        log.close()

    monkeypatch.setattr(watching.time, "sleep", end)
    assert main(["report", str(log.path), "--watch", "--out", str(report)]) == 0
    assert capsys.readouterr().out == f"{report}\n"

    (while_running,) = seen
    for part in (REFRESH, "step 2 of 4", "time left: 2 min", "still going on"):
        assert part in while_running
    assert REFRESH not in report.read_text()
    assert "status: finished" in report.read_text()


def test_only_one_run_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for runs in ([str(tmp_path), str(tmp_path)], ["study.json"]):
        assert main(["report", *runs, "--watch"]) == 2
        assert "--watch follows one run" in capsys.readouterr().err

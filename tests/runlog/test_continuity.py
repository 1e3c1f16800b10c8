"""A log that lacks steps says which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtgrpo.errors import RunError
from mtgrpo.runlog import LogEnd, LoggedSteps, RunLog, read_logged_steps
from mtgrpo.runlog.checkpoints import seal
from mtgrpo.runlog.continuity import NEEDED


def log_of(metrics: list[int], evaluations: list[int] | None = None) -> LoggedSteps:
    return LoggedSteps("id", dict(zip(NEEDED, (metrics, evaluations or []), strict=True)))


@pytest.mark.parametrize(
    ("then", "now", "missing"),
    [
        ([1, 2, 3, 4], [1, 2], "lacks 2 of 4 lines it had when this was saved: steps 3 to 4"),
        ([1, 2, 3], [1, 3], "lacks 1 of 3 lines it had when this was saved: step 2"),
        ([1, 2, 3], [2, 3], "lacks 1 of 3 lines it had when this was saved: step 1"),
        ([1, 2, 3], [], "lacks 3 of 3 lines it had when this was saved: steps 1 to 3"),
        ([5, 10, 15, 20], [5, 10], "lacks 2 of 4 lines it had when this was saved: steps 15 to 20"),
        ([1, 2, 3, 4, 5, 6], [1, 2, 4], "lacks 3 of 6 lines it had when this was saved: step 3, steps 5 to 6"),
    ],
)  # fmt: skip
def test_missing_steps_are_named(then, now, missing):
    assert log_of(now).gap(log_of(then).end) == f"metrics.jsonl {missing}"


def test_what_came_later_does_not_fill_a_hole():
    assert log_of([1, 2, 7, 8, 9]).gap(log_of([1, 2, 3]).end).endswith(": step 3")


def test_nothing_is_missing():
    end = log_of([1, 2, 3], [0, 3]).end
    assert log_of([1, 2, 3], [0, 3]).gap(end) == ""
    assert log_of([1, 2, 3, 4, 5], [0, 3, 5]).gap(end) == ""
    assert log_of([]).gap(log_of([]).end) == ""


def test_evaluations_are_needed_too():
    gap = log_of([1, 2, 3], [0]).gap(log_of([1, 2, 3], [0, 3]).end)
    assert gap.startswith("evaluations.jsonl lacks 1 of 2 lines")


def test_samples_may_be_deleted(tmp_path):
    sample = {"task": "a", "prompt": "", "completion": "", "reward": 0.0, "accuracy": 0.0}
    with RunLog.create(tmp_path, ["a"]) as log:
        log.log_metrics(1, 8, {})
        log.log_completions(1, [{**sample, "kept": True}], max_per_task=1)
        end = log.sync()
    assert end.num_lines["completions.jsonl"] == 1
    (tmp_path / "completions.jsonl").unlink()
    assert read_logged_steps(tmp_path).gap(end) == ""


def test_the_end_is_that_of_the_lines_on_disk(tmp_path):
    with RunLog.create(tmp_path, ["a"]) as log:
        for step in (1, 2, 3, 4):
            log.log_metrics(step, 8 * step, {})
        log.log_evaluation(0, 0, {"a": {"accuracy": 0.5}}, num_samples=1)
        end = log.sync()
        identity = log.run_id
    assert len(identity) == 32
    assert end.num_lines == {
        "metrics.jsonl": 4,
        "evaluations.jsonl": 1,
        "completions.jsonl": 0,
        "changes.jsonl": 0,
    }
    assert end.last_step == {"metrics.jsonl": 4, "evaluations.jsonl": 0}
    assert LogEnd.from_dict(end.as_dict()) == end

    with RunLog.resume(tmp_path) as log:
        log.truncate_after(2)
        assert log.run_id == identity
        assert log.sync().num_lines["metrics.jsonl"] == 2
        assert log.sync().last_step["metrics.jsonl"] == 2
        log.log_metrics(3, 24, {})
        assert log.sync().num_lines["metrics.jsonl"] == 3
    assert read_logged_steps(tmp_path).end.last_step == {"metrics.jsonl": 3, "evaluations.jsonl": 0}


def test_nobody_goes_on_from_a_checkpoint_that_the_log_does_not_reach(tmp_path):
    with RunLog.create(tmp_path, ["a"]) as log:
        for step in (1, 2, 3):
            log.log_metrics(step, 8 * step, {})
            log.checkpoint_path(step).mkdir(parents=True)
            seal(log.checkpoint_path(step), log=log.sync())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:2]))

    with RunLog.resume(tmp_path) as log:
        with pytest.raises(
            RunError, match=r"checkpoint-3: metrics.jsonl lacks .*: step 3; restore the log, or"
        ):
            log.truncate_after(3)
        log.truncate_after(2)
        log.truncate_after(7)  # no checkpoint of ours


def test_sync_makes_every_file_durable(tmp_path, monkeypatch):
    synced: list[str] = []
    real = os.fsync

    def recording(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").resolve().name)
        real(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("the names of open files are not known here")
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.log_metrics(1, 8, {})
        log.log_evaluation(1, 8, {"a": {"accuracy": 0.5}}, num_samples=1)
        monkeypatch.setattr(os, "fsync", recording)
        log.sync()
        assert {"metrics.jsonl", "evaluations.jsonl", "run"} <= set(synced)

        synced.clear()
        log.write_summary({"status": "finished"})
        assert synced.index("metrics.jsonl") < len(synced) - 2  # before the summary

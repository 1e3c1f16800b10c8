"""How far a run is, and how long it will still take."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mtgrpo.runlog import RunLog, read_run
from mtgrpo.runlog.progress import WINDOW, Pace, in_words, progress_of, total_steps


def test_the_pace_is_that_of_the_last_steps() -> None:
    pace = Pace(total=300)
    assert math.isnan(pace.remaining_s)

    for step in range(1, 101):
        pace.add(step, 10.0 * step)
    assert pace.step_s == 10.0
    assert pace.remaining_s == 2000.0

    for step in range(101, 101 + WINDOW):  # it becomes faster
        pace.add(step, 1000.0 + 2.0 * (step - 100))
    assert pace.step_s == 2.0

    pace.add(50, 0.0)  # the run went back to a checkpoint
    assert math.isnan(pace.step_s)
    pace.add(60, 10.0)
    assert pace.remaining_s == 240.0
    assert math.isnan(Pace(None).remaining_s)


def test_lines_may_stand_for_several_steps() -> None:
    pace = Pace(total=30)
    pace.add(10, 5.0)
    pace.add(20, 10.0)
    assert pace.remaining_s == 5.0
    pace.add(40, 20.0)  # more than was planned
    assert pace.remaining_s == 0.0


def test_progress_of_a_run(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        assert progress_of(read_run(log.path)).total is None
        log.write_config({"steps": 5, "updates_per_step": 2})
        log.log_metrics(2, 8, {}, elapsed_s=4.0)
        log.log_metrics(4, 16, {}, elapsed_s=7.0)
        progress = progress_of(read_run(log.path))
        assert (progress.step, progress.total, progress.step_s) == (4, 10, 1.5)
        assert progress.remaining_s == 9.0
        log.write_summary({"status": "interrupted"})

    assert math.isnan(progress_of(read_run(tmp_path / "run")).remaining_s)  # nothing goes on


@pytest.mark.parametrize(
    ("config", "total"),
    [
        ({}, None),
        ({"steps": "x"}, None),
        ({"steps": 7}, 7),
        ({"steps": 7, "updates_per_step": 2}, 14),
    ],
)
def test_total_steps(config: dict[str, object], total: int | None) -> None:
    assert total_steps(config) == total


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (math.nan, "unknown"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3599, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (48 * 3600, "2 d 0 h"),
    ],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words

"""Which lines of a log are steps, and how many steps each stands for."""

from __future__ import annotations

import math

import pytest

from mtgrpo.runlog import RunLog, read_run
from mtgrpo.runlog.steps import counts_of, step_lines, values_of

MIXER = {"sampler/rounds": 1.0}


@pytest.mark.parametrize(
    ("updates", "steps", "expected"),
    [
        (1, [1, 2, 3], [1, 1, 1]),
        (1, [5, 10, 12], [5, 5, 2]),  # logging_steps 5, and the end
        (4, [4, 8, 12], [1, 1, 1]),
        (4, [10, 20], [2, 3]),  # steps close at 4, 8 | 12, 16, 20
        (4, [1, 2, 3, 4], [1, 1, 1, 1]),
    ],
)
def test_steps_of_a_line(tmp_path, updates, steps, expected):
    with RunLog.create(tmp_path, ["a"]) as log:
        log.write_config({"updates_per_step": updates})
        for step in steps:
            log.log_metrics(step, 8 * step, MIXER)
    run = read_run(tmp_path)
    assert [line.num_steps for line in step_lines(run)] == expected
    assert [line.num_steps for line in step_lines(run, updates)] == expected


def test_other_lines_are_passed_over_unless_there_are_only_such(tmp_path):
    with RunLog.create(tmp_path / "1", ["a"]) as log:
        for step in range(1, 7):
            log.log_metrics(step, 8 * step, {"task/a/weight": 1.0} if step % 3 == 0 else {"x": 1})
    assert [
        (line.metrics.step, line.num_steps) for line in step_lines(read_run(tmp_path / "1"))
    ] == [(3, 1), (6, 1)]

    with RunLog.create(tmp_path / "2", ["a"]) as log:
        log.log_metrics(1, 8, {"loss": 1.0})
        log.log_metrics(2, 8, {"loss": 1.0})
    assert len(step_lines(read_run(tmp_path / "2"))) == 2


def test_missing_counts_are_zero_and_missing_values_unknown(tmp_path):
    with RunLog.create(tmp_path, ["a"]) as log:
        log.log_metrics(1, 8, {**MIXER, "n": 3})
        log.log_metrics(2, 16, MIXER)
    lines = step_lines(read_run(tmp_path))
    assert counts_of(lines, "n") == [3, 0]
    assert values_of(lines, "n")[0] == 3
    assert math.isnan(values_of(lines, "n")[1])
    assert all(map(math.isnan, counts_of(lines, "never logged")))

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.reports.curves import (
    accuracy_curves,
    cost_to_reach,
    running_mean,
    step_curves,
)
from mtgrpo.reports.task_rows import shares_met_rate, task_table
from mtgrpo.runlog import Run, RunLog, read_run
from tests.synthetic_run import write_synthetic_run


def write(
    path: Path, accuracies: list[dict[str, float]], tasks: tuple[str, ...] = ("a", "b/c")
) -> Run:
    """Evaluations at steps 0, 10, ...; 100 rollouts and 2 seconds a step."""
    with RunLog.create(path, tasks) as log:
        for i, row in enumerate(accuracies):
            rows = {
                t: {"accuracy": v, "reward": v, "num_prompts": 4, "std_error": 0.03}
                for t, v in row.items()
            }
            log.log_evaluation(10 * i, 1000 * i, rows, num_samples=1, elapsed_s=20 * i)
    return read_run(path)


def test_accuracy_worst_and_mean_by_hand(tmp_path: Path) -> None:
    run = write(tmp_path, [{"a": 0.2, "b/c": 0.4}, {"a": 0.6, "b/c": 0.5}])
    curves = accuracy_curves(run)
    assert curves.tasks == ("a", "b/c")
    assert curves.accuracy.tolist() == [[0.2, 0.4], [0.6, 0.5]]
    assert curves.steps.tolist() == [0, 10]
    assert curves.rollouts.tolist() == [0, 1000]
    assert curves.seconds.tolist() == [0, 20]
    assert curves.worst.tolist() == [0.2, 0.5]
    assert curves.worst_index == [0, 1]
    assert curves.mean == pytest.approx([0.3, 0.55])
    (first, second) = task_table(run)
    assert (first.before, first.after) == (0.2, 0.6)
    assert first.change == pytest.approx(0.4)
    assert second.change_error == pytest.approx(0.03 * math.sqrt(2))
    assert math.isnan(first.final_weight)


def test_threshold_is_the_first_evaluation_at_or_above(tmp_path: Path) -> None:
    run = write(tmp_path, [{"a": v, "b/c": 0.9} for v in (0.1, 0.3, 0.29, 0.5)])
    cost = cost_to_reach(run, 0.3)
    assert cost is not None
    assert (cost.steps, cost.rollouts, cost.seconds) == (10, 1000, 20)
    later = cost_to_reach(run, 0.31)
    assert later is not None
    assert later.steps == 30  # not interpolated between 20 and 30
    assert cost_to_reach(run, 0.51) is None
    mean = cost_to_reach(run, 0.5, of="mean")
    assert mean is not None
    assert mean.steps == 0
    with pytest.raises(ConfigError, match="allowed: worst, mean"):
        cost_to_reach(run, 0.5, of="best")


def test_missing_values_are_nan(tmp_path: Path) -> None:
    run = write(
        tmp_path,
        [{"a": math.nan, "b/c": 0.4}, {"b/c": 0.5}, {"a": math.nan}, {"a": 0.1, "extra": 0.0}],
    )
    curves = accuracy_curves(run)
    # "extra" joined the run before the last evaluation.
    np.testing.assert_equal(curves.worst, [0.4, 0.5, np.nan, 0.0])
    np.testing.assert_equal(curves.mean, [0.4, 0.5, np.nan, 0.05])
    assert curves.worst_index == [1, 1, None, 2]
    reached = cost_to_reach(run, 0.45)
    assert reached is not None
    assert reached.steps == 10


def test_empty_log_and_single_evaluation(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", [])
    assert accuracy_curves(empty).accuracy.shape == (0, 2)
    assert accuracy_curves(empty).worst.shape == (0,)
    assert step_curves(empty).weights.shape == (0, 2)
    assert cost_to_reach(empty, 0.1) is None
    assert math.isnan(shares_met_rate(empty))
    assert all(math.isnan(row.before) and math.isnan(row.change) for row in task_table(empty))
    single = write(tmp_path / "single", [{"a": 0.2, "b/c": 0.4}])
    (row, _) = task_table(single)
    assert row.before == 0.2
    assert math.isnan(row.after)
    assert math.isnan(row.change)


def test_step_metrics(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, ["a", "b/c"]) as log:
        rates, counts = (0.5, None, 1.0), (10, 0, 30)
        for i, (rate, count) in enumerate(zip(rates, counts, strict=True)):
            values = {
                "task/b/c/weight": 0.1 * i,
                "task/b/c/num_generated": count,
                "sampler/rounds": i + 1,
            }
            values |= {
                "task/b/c/target_ratio": 0.5,
                "task/b/c/realized_ratio": 0.25 * i,
                "sampler/shares_met": i % 2,
            }
            log.log_metrics(
                i + 1, 8 * i, values | ({} if rate is None else {"task/b/c/acceptance_rate": rate})
            )
    run = read_run(tmp_path)
    curves = step_curves(run)
    assert np.isnan(curves.weights[:, 0]).all()
    assert curves.weights[:, 1] == pytest.approx([0, 0.1, 0.2])
    np.testing.assert_equal(curves.acceptance[:, 1], [0.5, np.nan, 1.0])
    assert curves.rounds.tolist() == [1, 2, 3]
    assert np.isnan(curves.shortfall).all()
    row = task_table(run)[1]
    assert row.acceptance_rate == pytest.approx((0.5 * 10 + 1.0 * 30) / 40)
    assert row.final_weight == pytest.approx(0.2)
    assert (row.target_share, row.realized_share) == pytest.approx((0.5, 0.25))
    assert row.num_generated == 40
    assert shares_met_rate(run) == pytest.approx(1 / 3)


def test_rates_are_ratios_of_sums_and_missing_counts_are_nothing(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, ["a"]) as log:
        rows = [(8, 0.25, None), (None, None, 4), (2, 1.0, None)]
        for i, (generated, rate, short) in enumerate(rows):
            named = {"task/a/num_generated": generated, "task/a/acceptance_rate": rate}
            named |= {"sampler/shortfall": short, "sampler/rounds": 1}
            log.log_metrics(i + 1, 8 * i, {k: v for k, v in named.items() if v is not None})
    run = read_run(tmp_path)
    curves = step_curves(run)
    assert curves.generated[:, 0].tolist() == [8, 0, 2]
    assert curves.shortfall.tolist() == [0, 4, 0]
    rates = curves.acceptance_over(3)[:, 0]
    assert rates == pytest.approx([0.25, 0.25, (2 + 2) / (8 + 2)])
    assert curves.acceptance_over(1)[0, 0] == 0.25
    assert math.isnan(curves.acceptance_over(1)[1, 0])
    row = task_table(run)[0]
    assert row.acceptance_rate == pytest.approx(0.4)
    assert row.num_generated == 10


def test_a_rate_without_counts_is_the_mean_of_its_values(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, ["a"]) as log:
        for step, rate in ((1, 0.2), (2, 0.6)):
            log.log_metrics(step, 8 * step, {"task/a/weight": 1, "task/a/acceptance_rate": rate})
    assert task_table(read_run(tmp_path))[0].acceptance_rate == pytest.approx(0.4)


def test_a_line_that_stands_for_several_steps_counts_so_often(tmp_path: Path) -> None:
    """Logged once in four steps, then once more after the last one."""
    with RunLog.create(tmp_path, ["a"]) as log:
        for step, generated, rate, target, met in ((4, 2.5, 0.2, 0.5, 1), (5, 10, 0.6, 1.0, 0)):
            values = {"sampler/rounds": 1, "task/a/num_generated": generated}
            values |= {"task/a/acceptance_rate": rate, "task/a/target_ratio": target}
            log.log_metrics(step, 80 * step, values | {"sampler/shares_met": met})
    run = read_run(tmp_path)
    assert step_curves(run).num_steps.tolist() == [4, 1]
    row = task_table(run)[0]
    assert row.num_generated == 4 * 2.5 + 10
    assert row.acceptance_rate == pytest.approx((10 * 0.2 + 10 * 0.6) / 20)
    assert row.target_share == pytest.approx((4 * 0.5 + 1.0) / 5)
    assert shares_met_rate(run) == pytest.approx(4 / 5)


def test_lines_between_the_steps_of_the_mixer_are_no_steps(tmp_path: Path) -> None:
    """Four policy updates a step, each logged; the last of them closes the step."""
    with RunLog.create(tmp_path, ["a"]) as log:
        for update in range(1, 9):
            closes = update % 4 == 0
            values = {"sampler/rounds": 2, "task/a/num_generated": 6} if closes else {}
            log.log_metrics(update, 8 * update, {"loss": 0.1, **values})
    run = read_run(tmp_path)
    curves = step_curves(run)
    assert curves.steps.tolist() == [4, 8]
    assert curves.num_steps.tolist() == [1, 1]
    assert curves.rounds.tolist() == [2, 2]
    assert task_table(run)[0].num_generated == 12


def test_running_mean() -> None:
    assert running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1, 2, 4, 6]
    np.testing.assert_equal(
        running_mean(np.array([np.nan, 3.0, np.nan, np.nan]), 2), [np.nan, 3, 3, np.nan]
    )
    assert running_mean(np.array([[1.0, 2.0], [3.0, 4.0]]), 5).tolist() == [[1, 2], [2, 3]]
    assert running_mean(np.zeros((0, 3)), 1).shape == (0, 3)


def test_killed_run_is_readable(tmp_path: Path) -> None:
    run = read_run(write_synthetic_run(tmp_path, steps=5, status=None))
    assert run.status == "killed"
    assert len(step_curves(run).steps) == 5

from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.errors import ConfigError, RunError
from mtgrpo.reports.compare import (
    change_against,
    default_thresholds,
    method_table,
    spread_over_seeds,
)
from mtgrpo.reports.grouping import default_baseline
from mtgrpo.runlog import Run, RunLog, read_run


def write(
    path: Path, curves: list[tuple[float, float]], seed: int = 0, every: int = 10, **config: object
) -> Run:
    with RunLog.create(path, ["a", "b"]) as log:
        log.write_config({"preset": "dapo", "seed": seed, "output": str(path), **config})
        for i, (a, b) in enumerate(curves):
            rows = {"a": {"accuracy": a}, "b": {"accuracy": b}}
            log.log_evaluation(every * i, (100 + seed) * i, rows, num_samples=1, elapsed_s=i)
        log.write_summary({"status": "finished"})
    return read_run(path)


def test_relative_change_by_hand(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [(0, 0), (0.6, 0.4)])
    baseline = write(tmp_path / "base", [(0.5, 0.5)])
    assert change_against(run, baseline) == pytest.approx(100 / 2 * (0.1 / 0.5 - 0.1 / 0.5))
    assert change_against(baseline, run) == pytest.approx(50 * (-0.1 / 0.6 + 0.1 / 0.4))
    with pytest.raises(ConfigError, match="is 0"):
        change_against(run, write(tmp_path / "zero", [(0, 0.5)]))
    with pytest.raises(RunError, match="no evaluation in the log"):
        change_against(run, write(tmp_path / "none", []))
    with pytest.raises(RunError, match="misses task 'b'"):
        change_against(run, write(tmp_path / "nan", [(0.5, float("nan"))]))


def test_spread_uses_the_steps_all_seeds_have(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "0", [(0.1, 0.3), (0.2, 0.4), (0.9, 0.9)], seed=0),
        write(tmp_path / "1", [(0.3, 0.1), (0.5, 0.4)], seed=2),
        write(tmp_path / "2", [], seed=3),
    ]
    spread = spread_over_seeds("dapo", runs)
    assert spread.num_runs == 2
    assert spread.steps.tolist() == [0, 10]
    assert spread.rollouts.tolist() == [0, 101]
    assert spread.mean == pytest.approx([0.1, 0.3])
    assert (spread.low.tolist(), spread.high.tolist()) == ([0.1, 0.2], [0.1, 0.4])
    assert spread_over_seeds("dapo", runs, of="mean").mean == pytest.approx([0.2, (0.3 + 0.45) / 2])
    assert len(spread_over_seeds("none", runs[2:]).steps) == 0
    assert (
        len(spread_over_seeds("disjoint", [runs[0], write(tmp_path / "3", [], seed=4)]).steps) == 3
    )


def test_spread_leaves_out_what_was_evaluated_otherwise(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, ["a"]) as log:
        for i, (prompts, accuracy) in enumerate([(50, 0.9), (200, 0.1), (200, 0.3)]):
            row = {"accuracy": accuracy, "num_prompts": prompts}
            log.log_evaluation(10 * i, 80 * i, {"a": row}, num_samples=1)
    spread = spread_over_seeds("x", [read_run(tmp_path)])
    assert spread.steps.tolist() == [10, 20]
    assert spread.mean.tolist() == [0.1, 0.3]


def test_method_table_and_defaults(tmp_path: Path) -> None:
    groups = {
        "dapo": [
            write(tmp_path / f"d{s}", [(0.1, 0.5), (0.2 + 0.1 * s, 0.5)], seed=s) for s in range(2)
        ],
        "mt_grpo": [write(tmp_path / "m", [(0.1, 0.5), (0.42, 0.45)], preset="mt_grpo")],
        "empty": [write(tmp_path / "e", [], preset="empty")],
    }
    assert default_baseline(list(groups)) == "dapo"
    assert default_baseline(["x"]) is None
    assert default_thresholds(groups) == [0.2, 0.3, 0.4]
    assert default_thresholds({"empty": groups["empty"]}) == []
    dapo, mt, empty = method_table(groups, baseline="dapo", thresholds=[0.3, 0.4])
    assert (dapo.worst.mean, dapo.worst.low, dapo.worst.high) == pytest.approx((0.25, 0.2, 0.3))
    assert [len(dapo.reached[level]) for level in (0.3, 0.4)] == [1, 0]
    assert mt.change is not None
    assert mt.change.mean == pytest.approx(50 * ((0.42 - 0.25) / 0.25 + (0.45 - 0.5) / 0.5))
    assert (empty.num_runs, empty.num_evaluated) == (1, 0)
    assert empty.worst.mean != empty.worst.mean
    assert method_table(groups)[0].change is None

"""What a run will take, from a recorded run of the same configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.config import parse_config
from mtgrpo.jobs.forecast import describe_forecast, find_cost
from mtgrpo.plan import make_plan
from mtgrpo.runlog import RunLog

TINY = [{"tiny": "zebra", "level": "easy"}]


def config(path: Path, **changes: Any) -> Any:
    values = {"tasks": TINY, "batch_size": 4, "steps": 10, "output": str(path), **changes}
    return parse_config(values, "test")


def record(path: Path, **changes: Any) -> None:
    """A run of 4 policy updates, 3 s each; the third has a checkpoint in it."""
    with RunLog.create(path, ["zebra-easy"]) as log:
        log.write_config(config(path, **changes).as_dict())
        row = {"accuracy": 0.5, "num_prompts": 4}
        log.log_evaluation(0, 0, {"zebra-easy": row}, num_samples=2, elapsed_s=8.0)
        for step, elapsed_s in ((1, 11.0), (2, 14.0), (3, 24.0), (4, 27.0)):
            log.log_metrics(step, 50 * step, {}, elapsed_s=elapsed_s)
        log.log_evaluation(4, 200, {"zebra-easy": row}, num_samples=2, elapsed_s=32.0)


def test_time_and_rollouts_are_those_of_a_run_alike(tmp_path: Path) -> None:
    record(tmp_path / "old", steps=4, seed=3, learning_rate=1e-3)
    run = config(tmp_path / "new")

    cost = find_cost(run)
    assert cost is not None
    assert (cost.path, cost.step_s, cost.rollouts) == (tmp_path / "old", 3.0, 50.0)
    assert (cost.evaluation_s, cost.start_s) == (5.0, 8.0)

    lines = dict(describe_forecast(run, make_plan(run, num_test_prompts=4)))
    assert lines["rollouts"].startswith("about 500 (320 to ")
    assert lines["time"] == f"about 43 s (3 s a step in {tmp_path / 'old'})"  # 8 + 30 + 5

    run = config(tmp_path / "new", evaluation={"every": 4})
    lines = dict(describe_forecast(run, make_plan(run, num_test_prompts=4)))
    assert lines["time"].startswith("about 53 s (")  # and evaluations at steps 4 and 8


def test_runs_that_differ_in_what_costs_say_nothing(tmp_path: Path) -> None:
    record(tmp_path / "other", group_size=16)
    with RunLog.create(tmp_path / "young", ["zebra-easy"]) as log:
        log.write_config(config(tmp_path / "young").as_dict())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").write_text("{")
    (tmp_path / "file").write_text("")

    run = config(tmp_path / "new")
    assert find_cost(run) is None
    lines = dict(describe_forecast(run, make_plan(run)))
    assert lines["time"] == "unknown: no run of this configuration beside the output"
    assert find_cost(config(tmp_path / "nowhere" / "new")) is None

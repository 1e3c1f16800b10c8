"""The summary of a run, from its own log alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.config import parse_config
from mtgrpo.jobs.summary import (
    closing_lines,
    finished_summary,
    is_complete,
    logged_evaluation,
    score_rows,
)
from mtgrpo.runlog import RunLog, checkpoints
from mtgrpo.runlog.summary import summarize

RUN = parse_config({"tasks": [{"name": "a"}], "steps": 2, "updates_per_step": 2}, "test")


@dataclass
class Score:
    accuracy: float
    reward: float = 0.0
    std_error: float = 0.0
    num_prompts: int = 4
    measure: str = "accuracy"


@pytest.fixture
def log(tmp_path: Path):  # type: ignore[no-untyped-def]
    with RunLog.create(tmp_path / "run", ["a", "b"]) as log:
        yield log


def evaluate(log: RunLog, step: int, a: float, b: float) -> None:
    log.log_evaluation(step, 0, score_rows({"a": Score(a), "b": Score(b)}), num_samples=2)


def test_a_run_that_has_just_begun(log: RunLog) -> None:
    assert summarize(log.path, "interrupted") == {
        "status": "interrupted",
        "steps": 0,
        "rollouts": 0,
        "elapsed_s": 0.0,
        "shares_met_rate": None,
        "trained_on_nothing": False,
        "accuracy_before": {},
        "accuracy_after": {},
        "measure": "accuracy",
    }
    assert logged_evaluation(log.path, 0) == {}


def test_a_whole_run(log: RunLog) -> None:
    evaluate(log, 0, 0.2, 0.4)
    for step, met in ((2, 1.0), (4, 0.0)):
        log.log_metrics(step, 10 * step, {"sampler/shares_met": met}, elapsed_s=float(step))
    evaluate(log, 4, 0.6, 0.5)
    summary = summarize(log.path, "finished")
    assert summary["accuracy_before"] == {"a": 0.2, "b": 0.4}
    assert summary["accuracy_after"] == {"a": 0.6, "b": 0.5}
    assert (summary["worst_accuracy_before"], summary["worst_accuracy_after"]) == (0.2, 0.5)
    assert summary["mean_accuracy_after"] == pytest.approx(0.55)
    assert (summary["steps"], summary["rollouts"], summary["elapsed_s"]) == (4, 40, 4.0)
    assert summary["shares_met_rate"] == 0.5
    assert logged_evaluation(log.path, 4)["b"]["accuracy"] == 0.5

    assert finished_summary(log.path, RUN) is None
    log.write_config(RUN.as_dict())
    log.write_summary(summary)
    again = finished_summary(log.path, RUN)
    assert again is not None
    assert again["lines"][0].startswith(f"already finished: {log.path}; ")
    assert again["accuracy_after"] == {"a": 0.6, "b": 0.5}


@pytest.mark.parametrize(
    ("summary", "complete"),
    [
        ({"status": "finished", "steps": 4}, True),
        ({"status": "finished", "steps": 3}, False),
        ({"status": "interrupted", "steps": 4}, False),
        ({"status": "finished", "steps": "4"}, False),
        ({"status": "finished"}, False),
        ({}, False),
    ],
)
def test_a_run_is_complete_with_all_its_policy_updates(
    summary: dict[str, Any], complete: bool
) -> None:
    assert is_complete(summary, RUN) is complete


def test_the_last_lines_say_where_things_are_or_how_to_go_on(tmp_path: Path) -> None:
    assert closing_lines(tmp_path, {"status": "finished"})[0] == f"model: {tmp_path / 'model'}"
    (line,) = closing_lines(tmp_path, {"status": "interrupted"})
    assert "continue with the same command and --resume (from the start: no step was saved" in line
    checkpoint = tmp_path / "checkpoints" / "checkpoint-6"
    checkpoint.mkdir(parents=True)
    (checkpoint / "x").write_text("x")
    checkpoints.seal(checkpoint)
    (line,) = closing_lines(tmp_path, {"status": "interrupted"})
    assert "--resume (from step 6; " in line


@pytest.mark.parametrize(
    ("values", "nothing"),
    [
        ({"task/a/realized_ratio": 0.0, "task/b/realized_ratio": 0.0}, True),
        ({"task/a/realized_ratio": 0.0, "task/b/realized_ratio": 0.5}, False),
        # Without a filter, groups are trained on though all their rewards are equal.
        ({"task/a/realized_ratio": 1.0, "frac_reward_zero_std": 1.0}, True),
        ({"task/a/realized_ratio": 1.0, "frac_reward_zero_std": 0.75}, False),
        ({"loss": 0.0}, False),
    ],
)
def test_a_run_that_trained_on_nothing_says_so_at_its_end(
    log: RunLog, values: dict[str, float], nothing: bool
) -> None:
    assert summarize(log.path, "finished")["trained_on_nothing"] is False  # it took no step

    log.log_metrics(1, 10, values)
    summary = summarize(log.path, "finished")
    assert summary["trained_on_nothing"] is nothing

    lines = closing_lines(log.path, summary)
    assert lines[0].startswith(f"{log.path}: trained on nothing: ") is nothing

    log.log_metrics(2, 20, {"task/a/realized_ratio": 0.25})
    assert summarize(log.path, "finished")["trained_on_nothing"] is False


def test_accuracies_under_other_settings_are_not_compared(log: RunLog) -> None:
    evaluate(log, 0, 0.2, 0.4)
    rows = score_rows({"a": Score(0.6, num_prompts=8), "b": Score(0.5, num_prompts=8)})
    log.log_evaluation(2, 0, rows, num_samples=2)
    log.log_evaluation(4, 0, rows, num_samples=2)
    summary = summarize(log.path, "finished")
    assert summary["accuracy_before"] == {"a": 0.6, "b": 0.5}
    log.log_evaluation(6, 0, rows, num_samples=4)
    summary = summarize(log.path, "finished")
    assert (summary["accuracy_before"], summary["accuracy_after"]) == ({"a": 0.6, "b": 0.5}, {})

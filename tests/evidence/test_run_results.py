"""Run directories as `compare` takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtgrpo.errors import RunError
from mtgrpo.evidence.paired import compare
from mtgrpo.evidence.run_results import results_of
from mtgrpo.runlog import Run, RunLog, read_run


def run_of(path: Path, seed: int, rows: list[dict[str, list[float]]], **more: object) -> Run:
    """A run whose tasks had these accuracies, prompt by prompt, at steps 0, 1, ..."""
    with RunLog.create(path, list(rows[0])) as log:
        log.write_config({"seed": seed})
        for step, tasks in enumerate(rows):
            values = {}
            for task, prompts in tasks.items():
                known = [value for value in prompts if value == value]
                values[task] = {
                    "accuracy": float(np.mean(known)),
                    "num_prompts": len(prompts),
                    "prompt_accuracies": prompts,
                    **more,
                }
                if "measure" in more:
                    values[task]["prompt_rewards"] = prompts
            log.log_evaluation(step, 10 * step, values, num_samples=2)
    return read_run(path)


def test_differences_are_per_task_and_paired(tmp_path: Path) -> None:
    start = {"a": [0.0, 0.0], "b": [0.0, 0.5]}
    base = run_of(tmp_path / "base", 0, [start, {"a": [0.5, 0.5], "b": [1.0, 0.5]}])
    other = run_of(tmp_path / "other", 0, [start, {"a": [1.0, 1.0], "b": [1.0, 0.5]}])

    mine, theirs = results_of([other, base], ["new", "base"])
    assert mine.accuracy_at("a", "rollouts", 5.0) == 0.5
    pair = compare([mine], [theirs])
    assert list(pair.tasks) == ["a", "b"]
    # Each prompt of a gained a half: whatever is resampled, the difference is the same.
    assert (pair.tasks["a"].value, pair.tasks["a"].low, pair.tasks["a"].high) == (0.5, 0.5, 0.5)
    assert pair.tasks["a"].excludes_zero
    assert pair.tasks["b"].value == 0.0
    assert not pair.tasks["b"].excludes_zero
    assert pair.mean.value == 0.25


def test_scores_of_graded_tasks_are_on_one_scale_for_all_runs(tmp_path: Path) -> None:
    low = run_of(tmp_path / "low", 0, [{"a": [-4.0, -2.0]}], measure="score")
    high = run_of(tmp_path / "high", 0, [{"a": [-2.0, 0.0]}], measure="score")
    mine, theirs = results_of([high, low], ["high", "low"])
    assert mine.prompts["a"].tolist() == [[0.5, 1.0]]
    assert theirs.prompts["a"].tolist() == [[0.0, 0.5]]


def test_a_prompt_that_could_not_be_scored_in_one_run_is_compared_in_none(tmp_path: Path) -> None:
    nan = float("nan")
    base = run_of(tmp_path / "base", 0, [{"a": [0.0, 1.0, 0.5]}])
    other = run_of(tmp_path / "other", 0, [{"a": [nan, 1.0, 1.0]}])
    mine, theirs = results_of([other, base], ["new", "base"])
    assert compare([mine], [theirs]).tasks["a"].value == 0.25


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", 3, [{"a": [0.5]}])
    twin = run_of(tmp_path / "twin", 3, [{"a": [0.5]}])
    with pytest.raises(
        RunError, match=r"run and .*twin are both 'm' with seed 3; give one of them"
    ):
        results_of([run, twin], ["m", "m"])

    RunLog.create(tmp_path / "new", ["a"]).close()
    with pytest.raises(RunError, match="no evaluation in the log"):
        results_of([read_run(tmp_path / "new")], ["m"])

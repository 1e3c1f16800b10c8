"""What a run came to: its summary, and the lines that close it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mtgrpo.config import ResolvedRun
from mtgrpo.runlog import read_run
from mtgrpo.runlog.checkpoints import checkpoint_step, newest
from mtgrpo.runlog.files import os_errors_as

NOTHING = (
    "trained on nothing: in no step did a group pass the filter and differ in reward, so the model "
    "is as it was; mtgrpo tasks check says whether a task's rewards can be earned, and correct_at "
    "from which reward on an answer is right"
)


class TaskScore(Protocol):
    """How a task did in an evaluation, as the trainer has it and as the log has it."""

    @property
    def accuracy(self) -> float: ...
    @property
    def reward(self) -> float: ...
    @property
    def std_error(self) -> float: ...
    @property
    def num_prompts(self) -> int: ...
    @property
    def measure(self) -> str: ...


def score_rows(scores: Mapping[str, TaskScore]) -> dict[str, dict[str, Any]]:
    """An evaluation in plain values, task by task."""
    return {
        name: {
            "accuracy": score.accuracy,
            "reward": score.reward,
            "std_error": score.std_error,
            "num_prompts": score.num_prompts,
            "measure": score.measure,
        }
        for name, score in scores.items()
    }


def logged_evaluation(out: Path, step: int) -> dict[str, dict[str, Any]]:
    """What an earlier process measured and logged at a step; empty without such an evaluation.

    A run that was killed after its last evaluation has it nowhere else.
    """
    rows: dict[str, dict[str, Any]] = {}
    for evaluation in read_run(out).evaluations:
        if evaluation.step == step:
            rows = score_rows(evaluation.tasks)
    return rows


def finished_summary(out: Path, run: ResolvedRun) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do, None otherwise."""
    with os_errors_as(out, "read"):
        if not (out / "summary.json").is_file():
            return None

    summary = dict(read_run(out).summary or {})
    if not is_complete(summary, run):
        return None
    line = f"already finished: {out}; remove it or choose another --output to train again"
    return {**summary, "lines": [*_warnings(out, summary), line]}


def is_complete(summary: Mapping[str, Any], run: ResolvedRun) -> bool:
    """Whether a summary is that of a run with all of its steps."""
    num_steps = summary.get("steps")
    if summary.get("status") != "finished" or not isinstance(num_steps, int):
        return False
    return num_steps >= run.steps * run.updates_per_step


def closing_lines(out: Path, summary: Mapping[str, Any]) -> list[str]:
    """Where everything is, or how to go on."""
    if summary["status"] != "interrupted":
        return [
            *_warnings(out, summary),
            f"model: {out / 'model'}",
            f"log: {out / 'metrics.jsonl'}",
            f"report: mtgrpo report {out}",
        ]

    checkpoints = out / "checkpoints"
    last = newest(checkpoints).path
    start = "from the start: no step was saved yet"
    if last is not None:
        start = f"from step {checkpoint_step(last)}"

    return [f"interrupted; continue with the same command and --resume ({start}; {checkpoints})"]


def _warnings(out: Path, summary: Mapping[str, Any]) -> list[str]:
    return [f"{out}: {NOTHING}"] if summary.get("trained_on_nothing") else []

"""What a run came to: its summary, and the lines that close it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mtgrpo.config import ResolvedRun
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.runlog import Evaluation, Metrics, Run, read_run
from mtgrpo.runlog.checkpoints import checkpoint_step, newest
from mtgrpo.runlog.evaluation_settings import settings_changes
from mtgrpo.runlog.files import os_errors_as

NOTHING = (
    "trained on nothing: in no step did the completions of a prompt differ in what they earned, so "
    "the model is as it was; mtgrpo tasks check says whether a task's rewards can be earned"
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


def summarize(out: Path, status: str) -> dict[str, Any]:
    """The summary of a run from its own log: accuracies, cost, how often the shares were met.

    Args:
        out: Run directory.
        status: ``finished``, ``interrupted`` or ``failed``.
    """
    run = read_run(out)
    before, after = _first_and_last(run)

    summary: dict[str, Any] = {
        "status": status,
        "steps": run.metrics[-1].step if run.metrics else 0,
        "rollouts": run.metrics[-1].rollouts if run.metrics else 0,
        "elapsed_s": run.metrics[-1].elapsed_s if run.metrics else 0.0,
        "shares_met_rate": _shares_met_rate(run),
        "trained_on_nothing": bool(run.metrics) and not any(map(_has_gradient, run.metrics)),
        "accuracy_before": before,
        "accuracy_after": after,
        "measure": run.evaluations[-1].measure if run.evaluations else "accuracy",
    }

    for when, accuracy in (("before", before), ("after", after)):
        if accuracy:
            summary[f"worst_accuracy_{when}"] = worst_accuracy(accuracy)
            summary[f"mean_accuracy_{when}"] = mean_accuracy(accuracy)

    return summary


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


def _first_and_last(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracies of the first evaluation and of the last, if that is another; {} where missing.

    Evaluations under other settings than the last are left out: they could not be compared.
    """
    evaluations = sorted(run.evaluations, key=lambda evaluation: evaluation.step)
    for change in settings_changes(evaluations, run.tasks)[-1:]:
        evaluations = evaluations[change.row :]

    before = _accuracies(evaluations[0]) if evaluations else {}
    after = _accuracies(evaluations[-1]) if len(evaluations) > 1 else {}
    return before, after


def _has_gradient(line: Metrics) -> bool:
    """Whether a step, or one of several that a line stands for, trained on anything."""
    if line.values.get("frac_reward_zero_std") == 1.0:
        return False

    ratios = [v for name, v in line.values.items() if name.endswith("/realized_ratio")]
    return not ratios or any(ratio > 0 for ratio in ratios)


def _accuracies(evaluation: Evaluation) -> dict[str, float]:
    return {name: task.accuracy for name, task in evaluation.tasks.items()}


def _shares_met_rate(run: Run) -> float | None:
    key = "sampler/shares_met"
    met = [line.values[key] or 0.0 for line in run.metrics if key in line.values]
    return sum(met) / len(met) if met else None

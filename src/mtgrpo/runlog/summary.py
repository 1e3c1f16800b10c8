"""What a run came to, from its own log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.runlog.evaluation_settings import settings_changes
from mtgrpo.runlog.reading import read_run
from mtgrpo.runlog.records import Evaluation, Metrics, Run


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

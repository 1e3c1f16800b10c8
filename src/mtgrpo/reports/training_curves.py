"""What an engine logged of each step: rewards and scores per task, and its optimizer's figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgrpo.reports.curves import Floats
from mtgrpo.runlog import Run
from mtgrpo.runlog.steps import StepLine, counts_of, step_lines, values_of

FIGURES = {
    "loss": "loss",
    "KL divergence": "kl",
    "entropy (nats per token)": "entropy",
    "completion length (tokens)": "completions/mean_length",
    "step time (s)": "step_time",
}
"""Figures of the optimizer, by the names they are drawn under."""


@dataclass(frozen=True)
class TrainingCurves:
    """Figures of training, by logged line. NaN where a line has none.

    Attributes:
        tasks: Task names, the columns.
        steps: Steps done, shape (T,).
        reward: Mean reward of all generated groups of a task, shape (T, K).
        score: Their mean accuracy, or their score if the task is graded, shape (T, K).
        generated: Groups behind both, shape (T, K).
        measure: What `score` is called: ``"score"`` if a task is graded, else ``"accuracy"``.
        figures: Those of the optimizer that the log has, by `FIGURES`, shape (T,) each.
    """

    tasks: tuple[str, ...]
    steps: Floats
    reward: Floats
    score: Floats
    generated: Floats
    measure: str
    figures: dict[str, Floats]


def training_curves(run: Run) -> TrainingCurves:
    """The figures of every logged step."""
    lines = step_lines(run)
    accuracy = _of_tasks(run, lines, "accuracy")
    score = _of_tasks(run, lines, "score")
    generated = np.array([counts_of(lines, f"task/{task}/num_generated") for task in run.tasks])

    figures: dict[str, Floats] = {}
    for label, name in FIGURES.items():
        values = np.array(values_of(lines, name), dtype=float)
        if not np.isnan(values).all():
            figures[label] = values

    return TrainingCurves(
        tasks=run.tasks,
        steps=np.array([line.metrics.step for line in lines], dtype=float),
        reward=_of_tasks(run, lines, "reward"),
        score=np.where(np.isnan(accuracy), score, accuracy),
        generated=generated.reshape(len(run.tasks), len(lines)).T,
        measure="accuracy" if np.isnan(score).all() else "score",
        figures=figures,
    )


def _of_tasks(run: Run, lines: list[StepLine], name: str) -> Floats:
    """A metric of each task, shape (T, K)."""
    columns = [values_of(lines, f"task/{task}/{name}") for task in run.tasks]
    return np.array(columns, dtype=float).reshape(len(run.tasks), len(lines)).T

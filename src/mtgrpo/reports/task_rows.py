"""The summary of a run, a row per task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgrpo.reports.curves import Floats, StepCurves, accuracy_curves, step_curves
from mtgrpo.runlog import Run


@dataclass(frozen=True)
class TaskRow:
    """One task's line of the summary; NaN where a value is not known.

    Attributes:
        task: Task name.
        is_comparable: Whether the first and the last evaluation were made under the same settings.
        before: Accuracy at the first evaluation.
        before_error: Its standard error.
        after: Accuracy at the last evaluation.
        after_error: Its standard error.
        acceptance_rate: Informative groups / generated groups, over the whole run.
        final_weight: Task weight at the last step.
        target_share: Share of the batch the task should get, mean over steps.
        realized_share: Share of the groups trained on, mean over steps.
        num_generated: Groups generated in the whole run.
    """

    task: str
    is_comparable: bool
    before: float
    before_error: float
    after: float
    after_error: float
    acceptance_rate: float
    final_weight: float
    target_share: float
    realized_share: float
    num_generated: float

    @property
    def change(self) -> float:
        """After minus before; NaN where the two cannot be compared."""
        if not self.is_comparable:
            return float("nan")

        return self.after - self.before

    @property
    def change_error(self) -> float:
        """Standard error of `change`; it treats the two evaluations as independent."""
        return float(np.hypot(self.before_error, self.after_error))


def task_table(run: Run) -> list[TaskRow]:
    """Per task: first and last evaluation, acceptance over the run, final weight, mean shares.

    With a single evaluation `after` is NaN: nothing is known to have changed.
    """
    accuracy, steps = accuracy_curves(run), step_curves(run)
    target, realized = _over_run(steps, steps.target), _over_run(steps, steps.realized)
    acceptance = _last_row(steps.acceptance_over(max(1, len(steps.steps))))
    before, before_error = _evaluation(accuracy.accuracy, accuracy.std_error, 0)
    after, after_error = _evaluation(accuracy.accuracy[1:], accuracy.std_error[1:], -1)

    rows: list[TaskRow] = []
    for k, task in enumerate(run.tasks):
        rows.append(
            TaskRow(
                task=task,
                is_comparable=not accuracy.changes,
                before=float(before[k]),
                before_error=float(before_error[k]),
                after=float(after[k]),
                after_error=float(after_error[k]),
                acceptance_rate=float(acceptance[k]),
                final_weight=_last_known(steps.weights[:, k]),
                target_share=float(target[k]),
                realized_share=float(realized[k]),
                num_generated=float(np.nansum(steps.generated[:, k] * steps.num_steps)),
            )
        )

    return rows


def shares_met_rate(run: Run) -> float:
    """Fraction of steps whose trained groups equal the quotas; NaN when it was not logged."""
    steps = step_curves(run)
    return float(_over_run(steps, steps.shares_met[:, None])[0])


def _evaluation(accuracy: Floats, std_error: Floats, row: int) -> tuple[Floats, Floats]:
    """Accuracies and their errors at an evaluation, shape (K,) each; NaN when there is none."""
    if not len(accuracy):
        unknown = np.full(accuracy.shape[1], np.nan)
        return unknown, unknown

    return accuracy[row], std_error[row]


def _last_known(values: Floats) -> float:
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan")

    return float(known[-1])


def _over_run(steps: StepCurves, shares: Floats) -> Floats:
    """Mean of shares over the steps of the run, shape (K,); NaN where none was logged."""
    return _last_row(steps.share_over(shares, max(1, len(shares))))


def _last_row(values: Floats) -> Floats:
    if not len(values):
        return np.full(values.shape[1], np.nan)

    return values[-1]

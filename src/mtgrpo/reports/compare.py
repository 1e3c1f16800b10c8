"""Many runs side by side: methods, each over its seeds. Plain arrays; nothing is interpolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtgrpo.core.metrics import relative_change
from mtgrpo.errors import ConfigError, RunError
from mtgrpo.reports.curves import (
    AccuracyCurves,
    Cost,
    Floats,
    accuracy_curves,
    accuracy_of,
    cost_to_reach,
)
from mtgrpo.runlog import Run
from mtgrpo.runlog.evaluation_settings import settings_difference


@dataclass(frozen=True)
class Spread:
    """One method over its seeds, at the evaluation steps that all of its runs have.

    Attributes:
        label: The method.
        num_runs: Runs (seeds) behind each point.
        steps: Shape (T,).
        rollouts: Mean over runs, shape (T,).
        seconds: Mean over runs, shape (T,).
        mean: Mean over runs of the worst-task or mean accuracy, shape (T,).
        low: Minimum over runs, shape (T,).
        high: Maximum over runs, shape (T,).
        measure: What the values are called: ``"score"`` if a task is graded.
    """

    label: str
    num_runs: int
    steps: Floats
    rollouts: Floats
    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats
    measure: str = "accuracy"


@dataclass(frozen=True)
class Range:
    """Mean, minimum and maximum over runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodRow:
    """One method's line of a comparison.

    Attributes:
        label: The method.
        num_runs: Its runs.
        num_evaluated: Runs with an evaluation; the values below are over these.
        worst: Worst-task accuracy at the last evaluation.
        mean: Mean accuracy at the last evaluation.
        rollouts: Training completions of the whole run.
        change: Average per-task relative change against the baseline's mean over seeds, percent;
            None without a baseline.
        reached: Per threshold of worst-task accuracy, what each run that reached it needed.
    """

    label: str
    num_runs: int
    num_evaluated: int
    worst: Range
    mean: Range
    rollouts: Range
    change: Range | None
    reached: Mapping[float, Sequence[Cost]]


def final_accuracies(run: Run) -> dict[str, float]:
    """Accuracy of the run's tasks at the last evaluation.

    Raises:
        RunError: No evaluation, or one that misses a task.
    """
    curves = accuracy_curves(run)
    if not len(curves.steps):
        raise RunError(f"{run.path}: no evaluation in the log; evaluate before comparing")

    final = dict(zip(run.tasks, curves.accuracy[-1].tolist(), strict=True))
    for task, accuracy in final.items():
        if np.isnan(accuracy):
            raise RunError(
                f"{run.path}: the last evaluation misses task {task!r}; nothing to compare"
            )

    return final


def change_against(run: Run, baseline: Run) -> float:
    """Relative change at the last evaluations, in percent (paper, section 5).

    That is ``100/K sum_k (Acc(k) - Acc_b(k)) / Acc_b(k)``.

    Raises:
        RunError: One of the two has no complete evaluation.
        ConfigError: Different tasks, or a baseline accuracy of 0.
    """
    return relative_change(final_accuracies(run), final_accuracies(baseline))


def evaluated_differently(run: Run, other: Run) -> str:
    """In what the last evaluations of two runs were made differently; empty when made alike."""
    if not run.evaluations or not other.evaluations:
        return ""

    tasks = [task for task in run.tasks if task in other.tasks]
    return settings_difference(other.evaluations[-1], run.evaluations[-1], tasks)


def spread_over_seeds(label: str, runs: Sequence[Run], *, of: str = "worst") -> Spread:
    """The ``"worst"`` or ``"mean"`` accuracy of one method's runs, over those with evaluations.

    Evaluations under other settings than a run's last are left out.
    """
    curves = [_comparable(c) for c in map(accuracy_curves, runs) if len(c.steps)]
    common = _common_steps(curves)
    if not len(common):
        empty = np.zeros(0)
        return Spread(label, len(curves), empty, empty, empty, empty, empty, empty)

    def at_common(values: Sequence[Floats]) -> Floats:
        """Values of every run at the common steps, shape (runs, T)."""
        rows: list[Floats] = []
        for curve, of_run in zip(curves, values, strict=True):
            rows.append(of_run[np.searchsorted(curve.steps, common, side="right") - 1])

        return np.array(rows)

    values = at_common([accuracy_of(c, of) for c in curves])  # (runs, T)

    return Spread(
        label=label,
        num_runs=len(curves),
        steps=common,
        rollouts=at_common([c.rollouts for c in curves]).mean(axis=0),
        seconds=at_common([c.seconds for c in curves]).mean(axis=0),
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
        measure="score" if any(c.measure == "score" for c in curves) else "accuracy",
    )


def default_thresholds(groups: Mapping[str, Sequence[Run]], most: int = 3) -> list[float]:
    """Tenths of worst-task accuracy worth a column: above some run's start, reached by some run.

    Of many the highest `most`.
    """
    starts: list[float] = []
    bests: list[float] = []

    for runs in groups.values():
        for run in runs:
            worst = accuracy_curves(run).worst
            known = worst[~np.isnan(worst)]
            if known.size:
                starts.append(float(known[0]))
                bests.append(float(known.max()))

    if not starts:
        return []

    tenths = [tenth / 10 for tenth in range(1, 11)]
    return [level for level in tenths if min(starts) < level <= max(bests)][-most:]


def method_table(
    groups: Mapping[str, Sequence[Run]],
    *,
    baseline: str | None = None,
    thresholds: Sequence[float] = (),
) -> list[MethodRow]:
    """A row per method.

    The relative change is left out where it is undefined (other tasks, accuracy 0).
    """
    reference = None if baseline is None else _mean_accuracies(groups[baseline])
    rows: list[MethodRow] = []

    for label, runs in groups.items():
        evaluated = [run for run in runs if run.evaluations]
        curves = [accuracy_curves(run) for run in evaluated]

        rows.append(
            MethodRow(
                label=label,
                num_runs=len(runs),
                num_evaluated=len(evaluated),
                worst=_range([float(c.worst[-1]) for c in curves]),
                mean=_range([float(c.mean[-1]) for c in curves]),
                rollouts=_range([_all_rollouts(run) for run in evaluated]),
                change=_changes(evaluated, reference),
                reached={level: _costs(evaluated, level) for level in thresholds},
            )
        )

    return rows


def _comparable(curves: AccuracyCurves) -> AccuracyCurves:
    """The evaluations that were made as the last one was."""
    rows = curves.last_stretch
    return replace(
        curves,
        steps=curves.steps[rows],
        rollouts=curves.rollouts[rows],
        seconds=curves.seconds[rows],
        accuracy=curves.accuracy[rows],
        std_error=curves.std_error[rows],
        changes=(),
    )


def _common_steps(curves: Sequence[AccuracyCurves]) -> Floats:
    """Evaluation steps that all runs have, ascending."""
    if not curves:
        return np.zeros(0)

    common = set(curves[0].steps.tolist())
    for curve in curves[1:]:
        common &= set(curve.steps.tolist())

    return np.array(sorted(common))


def _all_rollouts(run: Run) -> float:
    return float(max(line.rollouts for line in (*run.metrics, *run.evaluations)))


def _costs(runs: Sequence[Run], threshold: float) -> list[Cost]:
    """What each run that reached a worst-task accuracy needed for it."""
    costs = [cost_to_reach(run, threshold) for run in runs]
    return [cost for cost in costs if cost is not None]


def _changes(runs: Sequence[Run], reference: Mapping[str, float] | None) -> Range | None:
    if reference is None:
        return None

    try:
        return _range([relative_change(final_accuracies(run), reference) for run in runs])
    except (ConfigError, RunError):
        return None


def _mean_accuracies(runs: Sequence[Run]) -> dict[str, float] | None:
    """Final accuracy per task, averaged over runs; None when there is none to average."""
    try:
        finals = [final_accuracies(run) for run in runs if run.evaluations]
    except RunError:
        return None

    if not finals or any(final.keys() != finals[0].keys() for final in finals):
        return None

    return {task: float(np.mean([final[task] for final in finals])) for task in finals[0]}


def _range(values: Sequence[float]) -> Range:
    known = [v for v in values if not np.isnan(v)]
    if not known:
        return Range(float("nan"), float("nan"), float("nan"))

    return Range(float(np.mean(known)), min(known), max(known))

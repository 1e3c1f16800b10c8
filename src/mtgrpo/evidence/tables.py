"""The tables of a study, as text cells: one source for HTML, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.core.metrics import relative_change
from mtgrpo.errors import ConfigError, RunError
from mtgrpo.evidence.least import efficiency, least_rollouts
from mtgrpo.evidence.paired import PairedComparison, compare
from mtgrpo.evidence.results import Floats, RunResult, StudyResults
from mtgrpo.evidence.sampling import sampling_table
from mtgrpo.evidence.table import MISSING, Table, interval, points, spread
from mtgrpo.evidence.thresholds import COSTS, threshold_costs


def final_table(results: StudyResults) -> Table:
    """Worst-task and mean accuracy at the end, relative change against the baseline, and cost."""
    reference = _mean_accuracy(results.of(results.baseline))
    rows: list[tuple[str, ...]] = []

    for method in results.finished_methods:
        runs = results.of(method)
        changes: list[float] = []
        if reference:
            changes = [relative_change(_final(run), reference) for run in runs]

        rows.append(
            (
                method,
                str(len(runs)),
                spread([100 * run.worst[-1] for run in runs]),
                spread([100 * run.mean[-1] for run in runs]),
                spread(changes, sign="+"),
                f"{np.mean([run.rollouts[-1] for run in runs]):,.0f}",
                f"{np.mean([run.seconds[-1] for run in runs]):,.0f}",
            )
        )

    change = f"relative change vs {results.baseline}, %"
    heads = ("method", "seeds", "worst task, %", "mean, %", change, "rollouts", "seconds")
    note = "At the last evaluation: mean over seeds (lowest to highest)."
    if warning := results.evaluation_warning:
        note = f"{warning} {note}"

    return Table("Accuracy at the end", heads, tuple(rows), note)


def paired_table(results: StudyResults, at: str, baseline: str | None = None) -> Table:
    """Every method against the baseline, at equal steps or at equal rollouts."""
    baseline = baseline or results.baseline
    rows: list[tuple[str, ...]] = []

    for method in results.finished_methods:
        if method == baseline:
            continue

        pair = comparison(results, method, baseline, at=at)
        if pair is None:
            continue

        rows.append(
            (
                method,
                f"{pair.cost:,.0f}",
                points(pair.worst),
                points(pair.mean),
                interval(pair.change),
                " ".join(f"{100 * value:+.1f}" for value in pair.worst_by_seed),
            )
        )

    measures = ("worst task, points", "mean, points", "relative change, %", "worst task, by seed")
    title = f"Difference to {baseline} at equal {at}"
    note = (
        "Paired by seed and test prompt; 95 % bootstrap intervals over both. "
        f"Positive: better than {baseline}."
    )

    return Table(title, ("method", at, *measures), tuple(rows), note)


def threshold_table(results: StudyResults, threshold: float) -> Table:
    """What it took to reach a worst-task accuracy."""
    base = results.of(results.baseline)
    rows: list[tuple[str, ...]] = []
    has_least = least_rollouts(results, threshold) is not None

    for method in results.finished_methods:
        cost = threshold_costs(results.of(method), base, threshold)
        cells = [method, f"{cost.num_reached} of {cost.num_runs}"]

        for value in (cost.steps, cost.rollouts, cost.seconds):
            cells.append(f"{value:,.0f}" if cost.num_reached else MISSING)

        for name in COSTS:
            ratio = cost.ratios.get(name)
            if ratio is None:
                cells.append(MISSING)
            else:
                cells.append(f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")

        if has_least:
            eta = efficiency(results, method, threshold)
            cells.append(MISSING if eta is None else f"{eta:.2f}")
        rows.append(tuple(cells))

    ratios = [f"{name} / {results.baseline}'s" for name in COSTS]
    title = f"To a worst-task accuracy of {100 * threshold:g} %"
    note = (
        "Medians over the seeds that reached it, at the first evaluation at or above it. Ratios: "
        "geometric mean over the seeds at which both methods did, with its 95 % interval over "
        "seeds (none with one seed)."
    )

    heads = ["method", "reached by", *COSTS, *ratios]
    if has_least:
        heads.append("eta")
        note += (
            " eta: rollouts in which the runs that train one task each lift theirs to it, "
            "together, over the method's, on mean curves over seeds."
        )
    return Table(title, tuple(heads), tuple(rows), note)


def task_table(results: StudyResults) -> Table:
    """Final accuracy of every task."""
    tasks = results.runs[0].tasks
    brief = len(tasks) > 4
    rows: list[tuple[str, ...]] = []

    for method in results.finished_methods:
        final = 100 * _final_accuracies(results.of(method))  # (runs, tasks)
        rows.append((method, *(spread(column.tolist(), brief=brief) for column in final.T)))

    return Table("Accuracy of each task at the end, %", ("method", *tasks), tuple(rows))


def level_table(results: StudyResults) -> Table | None:
    """Final accuracy by difficulty and by family; None unless tasks are ``<family>-<level>``."""
    groups = level_groups(results.runs[0].tasks)
    if groups is None:
        return None

    rows: list[tuple[str, ...]] = []
    for method in results.finished_methods:
        final = 100 * _final_accuracies(results.of(method))  # (runs, tasks)
        means = [final[:, columns].mean(axis=1) for columns in groups.values()]
        rows.append((method, *(spread(mean.tolist()) for mean in means)))

    title = "Accuracy by difficulty and by family at the end, %"
    return Table(title, ("method", *groups), tuple(rows))


def level_groups(tasks: Sequence[str]) -> dict[str, list[int]] | None:
    """Columns of each level and of each family; None unless tasks are ``<family>-<level>``."""
    levels: dict[str, list[int]] = {}
    families: dict[str, list[int]] = {}

    for k, task in enumerate(tasks):
        family, _, level = task.rpartition("-")
        levels.setdefault(level, []).append(k)
        families.setdefault(family, []).append(k)

    if len(levels) < 2 or "" in families:
        return None

    return levels | families


def forgetting_table(results: StudyResults) -> Table:
    """How far each task ends below its own best evaluation."""
    tasks = results.runs[0].tasks
    rows: list[tuple[str, ...]] = []

    for method in results.finished_methods:
        lost = 100 * np.array([run.forgotten for run in results.of(method)])  # (runs, tasks)
        cells = [f"{value:.1f}" for value in lost.mean(axis=0)]
        rows.append((method, *cells, spread(lost.mean(axis=1).tolist())))

    heads = ("method", *tasks, "mean over tasks")
    note = (
        "Best accuracy of all evaluations minus the last one, in points; noise alone gives a few."
    )

    return Table("Forgetting", heads, tuple(rows), note)


def all_tables(results: StudyResults) -> list[Table]:
    """Every table of a study, in the order of its report."""
    tables = [final_table(results)]

    if results.of(results.baseline):
        tables.append(paired_table(results, "steps"))
        tables.append(paired_table(results, "rollouts"))
        tables += [threshold_table(results, threshold) for threshold in results.thresholds]

    tables.append(task_table(results))
    if levels := level_table(results):
        tables.append(levels)

    tables.append(sampling_table(results))
    tables.append(forgetting_table(results))

    return tables


def comparison(
    results: StudyResults, method: str, other: str, *, at: str, tasks: Sequence[str] | None = None
) -> PairedComparison | None:
    """Two methods of a study, paired; None where that cannot be computed."""
    try:
        return compare(results.of(method), results.of(other), at=at, tasks=tasks)
    except RunError:
        return None


def _final(run: RunResult) -> dict[str, float]:
    return dict(zip(run.tasks, run.accuracy[-1].tolist(), strict=True))


def _final_accuracies(runs: Sequence[RunResult]) -> Floats:
    """Accuracies at the last evaluation, shape (runs, tasks)."""
    return np.array([run.accuracy[-1] for run in runs])


def _mean_accuracy(runs: Sequence[RunResult]) -> dict[str, float] | None:
    """Final accuracy of each task, mean over runs; None where no change can refer to it."""
    if not runs:
        return None

    mean = _final_accuracies(runs).mean(axis=0)
    accuracies = dict(zip(runs[0].tasks, mean.tolist(), strict=True))

    try:
        relative_change(accuracies, accuracies)
    except ConfigError:  # an accuracy of 0
        return None

    return accuracies

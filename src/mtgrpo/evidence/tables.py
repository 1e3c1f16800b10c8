"""The tables of a study, as text cells: one source for HTML, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtgrpo.core.metrics import relative_change
from mtgrpo.errors import ConfigError, RunError
from mtgrpo.evidence.paired import COSTS, Interval, PairedComparison, compare, threshold_costs
from mtgrpo.evidence.results import Floats, RunResult, StudyResults

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """A table: heads, rows of text, and what has to be said about it."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown, with its title and note."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += ["| " + " | ".join(self.heads) + " |", "|" + "---|" * len(self.heads)]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows
        ]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])


def final_table(results: StudyResults) -> Table:
    """Worst-task and mean accuracy at the end, relative change against the baseline, and the cost."""
    base = results.of(results.baseline)
    reference = _mean_accuracy(base) if base else None
    rows = []
    for method in results.finished_methods:
        runs = results.of(method)
        changes = [relative_change(_final(run), reference) for run in runs] if reference else []
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
    heads = (
        "method",
        "seeds",
        "worst task, %",
        "mean, %",
        f"relative change vs {results.baseline}, %",
        "rollouts",
    )
    note = "At the last evaluation: mean over seeds (lowest to highest)."
    return Table("Accuracy at the end", (*heads, "seconds"), tuple(rows), note)


def paired_table(results: StudyResults, at: str, baseline: str | None = None) -> Table:
    """Every method against the baseline, at equal steps or at equal rollouts."""
    baseline = baseline or results.baseline
    rows = []
    for method in results.finished_methods:
        found = comparison(results, method, baseline, at=at) if method != baseline else None
        if found is None:
            continue
        rows.append(
            (
                method,
                f"{found.cost:,.0f}",
                points(found.worst),
                points(found.mean),
                interval(found.change),
                " ".join(f"{100 * value:+.1f}" for value in found.worst_by_seed),
            )
        )
    heads = (
        "method",
        at,
        "worst task, points",
        "mean, points",
        "relative change, %",
        "worst task, by seed",
    )
    title = f"Difference to {baseline} at equal {at}"
    note = f"Paired by seed and test prompt; 95 % bootstrap intervals over both. Positive: better than {baseline}."
    return Table(title, heads, tuple(rows), note)


def threshold_table(results: StudyResults, threshold: float) -> Table:
    """What it took to reach a worst-task accuracy."""
    base = results.of(results.baseline)
    rows = []
    for method in results.finished_methods:
        cost = threshold_costs(results.of(method), base, threshold)
        found = (cost.ratios.get(name) for name in COSTS)
        rows.append(
            (
                method,
                f"{cost.num_reached} of {cost.num_runs}",
                *(
                    f"{v:,.0f}" if cost.num_reached else MISSING
                    for v in (cost.steps, cost.rollouts, cost.seconds)
                ),
                *(f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" if r else MISSING for r in found),
            )
        )
    heads = ("method", "reached by", *COSTS, *(f"{name} / {results.baseline}'s" for name in COSTS))
    note = (
        "Medians over the seeds that reached it, at the first evaluation at or above it. Ratios: geometric mean over "
        "the seeds at which both methods did, with its 95 % interval over seeds (none with one seed)."
    )
    return Table(f"To a worst-task accuracy of {100 * threshold:g} %", heads, tuple(rows), note)


def task_table(results: StudyResults) -> Table:
    """Final accuracy of every task."""
    rows, tasks = [], results.runs[0].tasks
    for method in results.finished_methods:
        runs = results.of(method)
        columns = [[100 * run.accuracy[-1, k] for run in runs] for k in range(len(tasks))]
        rows.append((method, *(spread(values, brief=len(tasks) > 4) for values in columns)))
    return Table("Accuracy of each task at the end, %", ("method", *tasks), tuple(rows))


def level_table(results: StudyResults) -> Table | None:
    """Final accuracy by difficulty and by family, when tasks are named ``<family>-<level>``; None otherwise."""
    groups = level_groups(results.runs[0].tasks)
    if groups is None:
        return None
    rows = []
    for method in results.finished_methods:
        runs = results.of(method)
        cells = (
            spread([100 * run.accuracy[-1, columns].mean() for run in runs])
            for columns in groups.values()
        )
        rows.append((method, *cells))
    return Table(
        "Accuracy by difficulty and by family at the end, %", ("method", *groups), tuple(rows)
    )


def level_groups(tasks: Sequence[str]) -> dict[str, list[int]] | None:
    """Columns of each level and of each family, when tasks are named ``<family>-<level>``; None otherwise."""
    parts = [task.rpartition("-") for task in tasks]
    levels, families = (list(dict.fromkeys(part[i] for part in parts)) for i in (2, 0))
    if len(levels) < 2 or not all(families):
        return None
    groups = {level: [k for k, part in enumerate(parts) if part[2] == level] for level in levels}
    return groups | {
        family: [k for k, part in enumerate(parts) if part[0] == family] for family in families
    }


def sampling_table(results: StudyResults) -> Table:
    """What the batches cost, and whether they held the shares that were wanted."""

    def mean(runs: Sequence[RunResult], name: str) -> str:
        values = [float(np.nanmean(run.series[name])) for run in runs if name in run.series]
        return f"{np.mean(values):.1f}" if values else MISSING

    rows = []
    for method in results.finished_methods:
        runs = results.of(method)
        met = [run.shares_met_rate for run in runs if run.shares_met_rate is not None]
        rows.append(
            (
                method,
                mean(runs, "sampler/groups_generated"),
                mean(runs, "sampler/rounds"),
                mean(runs, "sampler/shortfall"),
                f"{100 * np.mean(met):.0f}" if met else MISSING,
                f"{100 * np.mean([_share_error(run) for run in runs]):.1f}",
                f"{100 * np.mean([_acceptance(run) for run in runs]):.0f}",
            )
        )
    heads = (
        "method",
        "groups generated",
        "rounds",
        "shortfall",
        "steps with exact quotas, %",
        "share error, points",
    )
    note = (
        "Means per step. Share error: distance between the weights and the shares trained on, half the sum over tasks "
        "of the absolute differences of their means over stretches of steps."
    )
    return Table("Sampling", (*heads, "acceptance rate, %"), tuple(rows), note)


def forgetting_table(results: StudyResults) -> Table:
    """How far each task ends below its own best evaluation."""
    tasks = results.runs[0].tasks
    rows = []
    for method in results.finished_methods:
        lost = np.array([run.forgotten for run in results.of(method)])
        cells = [f"{100 * value:.1f}" for value in lost.mean(axis=0)]
        rows.append((method, *cells, spread([100 * value for value in lost.mean(axis=1)])))
    note = (
        "Best accuracy of all evaluations minus the last one, in points; noise alone gives a few."
    )
    return Table("Forgetting", ("method", *tasks, "mean over tasks"), tuple(rows), note)


def all_tables(results: StudyResults) -> list[Table]:
    """Every table of a study, in the order of its report."""
    found = [final_table(results)]
    if results.of(results.baseline):
        found += [paired_table(results, "steps"), paired_table(results, "rollouts")]
        found += [threshold_table(results, threshold) for threshold in results.thresholds]
    found.append(task_table(results))
    levels = level_table(results)
    return [
        *found,
        *([levels] if levels else []),
        sampling_table(results),
        forgetting_table(results),
    ]


def comparison(
    results: StudyResults, method: str, other: str, *, at: str, tasks: Sequence[str] | None = None
) -> PairedComparison | None:
    """Two methods of a study, paired; None where that cannot be computed."""
    try:
        return compare(results.of(method), results.of(other), at=at, tasks=tasks)
    except RunError:
        return None


def spread(values: Sequence[float], *, sign: str = "", brief: bool = False) -> str:
    """Mean (lowest to highest)."""
    if not len(values):
        return MISSING
    shown: Callable[[float], str] = lambda value: f"{value:{sign}.1f}"  # noqa: E731
    mean = shown(float(np.mean(values)))
    return (
        mean
        if brief or len(values) == 1
        else f"{mean} ({shown(min(values))} to {shown(max(values))})"
    )


def points(value: Interval) -> str:
    """An interval of accuracies, in points; bold where it excludes 0."""
    return interval(Interval(*(100 * v for v in (value.value, value.low, value.high))))


def interval(value: Interval) -> str:
    """A value with its interval; bold where that excludes 0."""
    text = f"{value.value:+.1f} ({value.low:+.1f} to {value.high:+.1f})"
    return f"**{text}**" if value.excludes_zero else text


def _final(run: RunResult) -> dict[str, float]:
    return dict(zip(run.tasks, run.accuracy[-1].tolist(), strict=True))


def _mean_accuracy(runs: Sequence[RunResult]) -> dict[str, float] | None:
    mean: Floats = np.mean([run.accuracy[-1] for run in runs], axis=0)
    found = dict(zip(runs[0].tasks, mean.tolist(), strict=True))
    try:
        relative_change(found, found)
    except ConfigError:  # an accuracy of 0
        return None
    return found


def _share_error(run: RunResult) -> float:
    differences = [
        np.abs(run.series[f"task/{t}/weight"] - run.series[f"task/{t}/realized_ratio"])
        for t in run.tasks
    ]
    return float(np.nanmean(np.sum(differences, axis=0) / 2))


def _acceptance(run: RunResult) -> float:
    rates = [
        np.nanmean(run.series[f"task/{t}/acceptance_rate"]) for t in run.tasks if _seen(run, t)
    ]
    return float(np.mean(rates)) if rates else float("nan")


def _seen(run: RunResult, task: str) -> bool:
    points = run.series.get(f"task/{task}/acceptance_rate")
    return points is not None and not bool(np.isnan(points).all())

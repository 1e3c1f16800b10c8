"""The page that compares many runs: methods, each over its seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mtgrpo.errors import ConfigError, counted, unknown
from mtgrpo.reports import page
from mtgrpo.reports.compare import (
    MethodRow,
    Range,
    default_thresholds,
    evaluated_differently,
    method_table,
    spread_over_seeds,
)
from mtgrpo.reports.grouping import default_baseline, group_by_label
from mtgrpo.reports.page_files import refuse_foreign_file, shared_folder, write_page
from mtgrpo.reports.run_tables import NOT_COMPARABLE
from mtgrpo.reports.spread_figure import TITLES, Figure, spread_figure
from mtgrpo.runlog import Run, read_run
from mtgrpo.runlog.evaluation_settings import settings_changes

COSTS = {"steps": "training steps", "rollouts": "completions generated for training"}


def write_comparison(
    run_dirs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    baseline: str | None = None,
    thresholds: Sequence[float] | None = None,
    title: str = "mtgrpo comparison",
) -> Path:
    """Write one HTML file that compares runs.

    It shows worst-task and mean accuracy over steps and over rollouts, and tables.

    Args:
        run_dirs: Run directories, of any number of methods and seeds.
        out: HTML file; None writes ``comparison.html`` beside the runs, into the deepest folder
            that holds them all. A comparison that is there is replaced, anything else refused.
        labels: Method of each run; None takes the preset of its configuration, and what differs
            within a preset.
        baseline: Label that the others' relative change is measured against; None takes dapo or
            grpo if there.
        thresholds: Worst-task accuracies in [0, 1] whose cost is tabulated; None chooses up to
            three.
        title: Title of the page.

    Returns:
        The HTML file.

    Raises:
        ConfigError: No runs, or labels or a baseline that do not fit.
        RunError: Not a run directory, a damaged one, or the page cannot be written.
        MissingExtra: matplotlib or PyYAML is not installed.
    """
    if not run_dirs:
        raise ConfigError("comparison: no run directories; at least one is needed")

    path = shared_folder(run_dirs) / "comparison.html" if out is None else Path(out)
    refuse_foreign_file(path)

    runs = [read_run(path) for path in run_dirs]
    groups = group_by_label(runs, labels)
    if baseline is not None and baseline not in groups:
        raise ConfigError(unknown("comparison", "baseline", baseline, groups))

    baseline = baseline or default_baseline(list(groups))
    levels = default_thresholds(groups) if thresholds is None else list(thresholds)
    rows = method_table(groups, baseline=baseline, thresholds=levels)
    odd = odd_evaluations(runs)

    is_score = any(e.measure == "score" for run in runs for e in run.evaluations)
    measure = "score" if is_score else "accuracy"
    num_methods, num_runs = counted(len(groups), "method"), counted(len(runs), "run")
    about = f"{num_methods}, {num_runs}. {measure.capitalize()} is measured on test prompts."
    parts = [
        f"<h1>{page.text(title)}</h1>",
        page.paragraph(about),
        *_notices(runs, odd),
        page.section("Curves", page.figure_grid(comparison_figures(groups))),
        page.section("Methods", _method_table(rows, levels, baseline)),
        page.section("Runs", _run_table(groups, odd)),
    ]

    return write_page(path, title, "\n".join(parts))


def comparison_figures(groups: Mapping[str, Sequence[Run]]) -> list[tuple[str, Figure, str]]:
    """Identifier, figure and caption of four curves: worst and mean, over steps and rollouts."""
    figures: list[tuple[str, Figure, str]] = []

    for of, what in TITLES.items():
        if of == "change":
            continue

        spreads = [spread_over_seeds(label, runs, of=of) for label, runs in groups.items()]
        if not any(len(spread.steps) for spread in spreads):
            continue

        for x, cost in COSTS.items():
            caption = (
                f"{what.format(measure=spreads[0].measure)} over {cost}, at the evaluations that "
                "all runs of a method have, without those under other settings than a run's last."
            )
            figures.append((f"{of}-{x}", spread_figure(spreads, x=x, of=of), caption))

    return figures


def _notices(runs: Sequence[Run], odd: Mapping[Path, str]) -> list[str]:
    notices: list[str] = []

    if len({frozenset(run.tasks) for run in runs}) > 1:
        notices.append(
            page.notice("These runs have different tasks: their accuracies are not comparable.")
        )

    missing = [run.name for run in runs if not run.evaluations]
    if missing:
        notices.append(page.notice(f"Without any evaluation, so in no curve: {', '.join(missing)}"))

    for path, reason in odd.items():
        message = f"Not evaluated as the other runs, so not comparable with them: {path}: {reason}"
        notices.append(page.notice(message))

    unfinished = [f"{run.name} ({run.status})" for run in runs if run.status != "finished"]
    if unfinished:
        notices.append(page.notice(f"Not finished: {', '.join(unfinished)}"))

    return notices


def odd_evaluations(runs: Sequence[Run]) -> dict[Path, str]:
    """Runs that were not evaluated as the first one, or not the same way throughout; and how."""
    evaluated = [run for run in runs if run.evaluations]
    odd: dict[Path, str] = {}

    for run in evaluated:
        reasons: list[str] = []
        if difference := evaluated_differently(run, evaluated[0]):
            reasons.append(f"{difference} ({evaluated[0].path} → this run)")
        for change in settings_changes(run.evaluations, run.tasks):
            reasons.append(f"{change.what}, before step {change.step:,}")

        if reasons:
            odd[run.path] = "; ".join(reasons)

    return odd


def _method_table(
    rows: Sequence[MethodRow], thresholds: Sequence[float], baseline: str | None
) -> str:
    heads = ["method", "runs", "worst task, %", "mean, %", "rollouts"]
    if baseline is not None:
        heads.append(f"relative change vs {baseline}, %")
    heads += [f"steps / rollouts to worst {100 * level:g} %" for level in thresholds]

    cells: list[list[str]] = []
    for row in rows:
        line = [
            page.name(row.label),
            page.text(row.num_runs),
            _range(row.worst, 100),
            _range(row.mean, 100),
            page.number(row.rollouts.mean),
        ]
        if baseline is not None:
            line.append(page.MISSING if row.change is None else _range(row.change, 1, sign="+"))

        cells.append(line + [_reached(row, level) for level in thresholds])

    note = (
        "At the last evaluation: mean over runs, with minimum and maximum where there are several. "
        "Steps and rollouts are those of the first evaluation at or above the accuracy, mean over "
        "the runs that reach it."
    )

    return page.table(heads, cells) + page.paragraph(note)


def _run_table(groups: Mapping[str, Sequence[Run]], odd: Mapping[Path, str]) -> str:
    heads = ("run", "method", "seed", "status", "steps", "worst task, %", "mean, %", "rollouts")

    cells: list[list[str]] = []
    for label, runs in groups.items():
        for run in runs:
            (row,) = method_table({label: [run]})
            mark = f" {NOT_COMPARABLE}" if run.path in odd else ""
            cells.append(
                [
                    page.name(run.name),
                    page.name(label),
                    page.text(run.config.get("seed", page.MISSING)),
                    page.text(run.status),
                    page.number(run.last_step),
                    page.percent(row.worst.mean) + mark,
                    page.percent(row.mean.mean) + mark,
                    page.number(row.rollouts.mean),
                ]
            )

    note = page.paragraph(f"{NOT_COMPARABLE}: not evaluated as the others.") if odd else ""
    return page.table(heads, cells) + note


def _range(values: Range, scale: float, *, sign: str = "") -> str:
    if values.mean != values.mean:
        return page.MISSING

    mean, low, high = (scale * v for v in (values.mean, values.low, values.high))
    shown = f"{mean:{sign}.1f}"
    if low != high:
        shown += f" ({low:{sign}.1f} to {high:{sign}.1f})"

    return shown


def _reached(row: MethodRow, level: float) -> str:
    costs = row.reached[level]
    if not costs:
        return "never" if row.num_evaluated else page.MISSING

    steps = sum(cost.steps for cost in costs) / len(costs)
    rollouts = sum(cost.rollouts for cost in costs) / len(costs)
    shown = f"{page.number(steps)} / {page.number(rollouts)}"

    if len(costs) < row.num_evaluated:
        shown += f" ({len(costs)} of {counted(row.num_evaluated, 'run')})"

    return shown

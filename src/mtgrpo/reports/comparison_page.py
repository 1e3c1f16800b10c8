"""The page that compares many runs: methods, each over its seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mtgrpo.errors import ConfigError, unknown
from mtgrpo.reports import figures as fig
from mtgrpo.reports import page
from mtgrpo.reports.compare import (
    MethodRow,
    Range,
    default_baseline,
    default_thresholds,
    group_by_label,
    method_table,
    spread_over_seeds,
)
from mtgrpo.runlog import Run, read_run
from mtgrpo.runlog.files import write_text


def write_comparison(
    run_dirs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    baseline: str | None = None,
    thresholds: Sequence[float] | None = None,
    title: str = "mtgrpo comparison",
) -> Path:
    """Write one HTML file that compares runs: worst-task and mean accuracy over steps and over rollouts, and a table.

    Args:
        run_dirs: Run directories, of any number of methods and seeds.
        out: HTML file.
        labels: Method of each run; None takes the preset of its configuration, and what differs within a preset.
        baseline: Label that the others' relative change is measured against; None takes dapo or grpo if there.
        thresholds: Worst-task accuracies in [0, 1] whose cost is tabulated; None chooses up to three.
        title: Of the page.

    Returns:
        The HTML file.

    Raises:
        ConfigError: No runs, or labels or a baseline that do not fit.
        RunError: Not a run directory, a damaged one, or the page cannot be written.
        MissingExtra: matplotlib or PyYAML is not installed.
    """
    if not run_dirs:
        raise ConfigError("comparison: no run directories; at least one is needed")
    runs = [read_run(path) for path in run_dirs]
    groups = group_by_label(runs, labels)
    if baseline is not None and baseline not in groups:
        raise ConfigError(unknown("comparison", "baseline", baseline, groups))
    baseline = baseline or default_baseline(list(groups))
    levels = default_thresholds(groups) if thresholds is None else list(thresholds)
    body = "\n".join(
        (
            f"<h1>{page.text(title)}</h1>",
            page.paragraph(
                f"{len(groups)} methods, {len(runs)} runs. Accuracy is measured on test prompts."
            ),
            *_notices(runs),
            page.section("Curves", page.figure_grid(comparison_figures(groups))),
            page.section(
                "Methods",
                _table(
                    method_table(groups, baseline=baseline, thresholds=levels), levels, baseline
                ),
            ),
            page.section("Runs", _run_table(groups)),
        )
    )
    path = Path(out)
    write_text(path, page.page(title, body))
    return path


def comparison_figures(groups: Mapping[str, Sequence[Run]]) -> list[tuple[str, fig.Figure, str]]:
    """Identifier, figure and caption of the four curves: worst-task and mean accuracy over steps and rollouts."""
    found: list[tuple[str, fig.Figure, str]] = []
    for of, what in (("worst", "Worst-task accuracy"), ("mean", "Mean accuracy over tasks")):
        spreads = [spread_over_seeds(label, runs, of=of) for label, runs in groups.items()]
        if not any(len(spread.steps) for spread in spreads):
            continue
        for x, cost in (
            ("steps", "training steps"),
            ("rollouts", "completions generated for training"),
        ):
            caption = f"{what} over {cost}, at the evaluations that all runs of a method have."
            found.append((f"{of}-{x}", fig.comparison_figure(spreads, x=x, of=of), caption))
    return found


def _notices(runs: Sequence[Run]) -> list[str]:
    notices: list[str] = []
    if len({frozenset(run.tasks) for run in runs}) > 1:
        notices.append(
            page.notice("These runs have different tasks: their accuracies are not comparable.")
        )
    missing = [run.path.name for run in runs if not run.evaluations]
    if missing:
        notices.append(page.notice(f"Without any evaluation, so in no curve: {', '.join(missing)}"))
    unfinished = [f"{run.path.name} ({run.status})" for run in runs if run.status != "finished"]
    if unfinished:
        notices.append(page.notice(f"Not finished: {', '.join(unfinished)}"))
    return notices


def _table(rows: Sequence[MethodRow], thresholds: Sequence[float], baseline: str | None) -> str:
    heads = ["method", "runs", "worst task, %", "mean, %", "rollouts"]
    heads += [f"relative change vs {baseline}, %"] if baseline is not None else []
    heads += [f"steps / rollouts to worst {100 * level:g} %" for level in thresholds]
    cells = []
    for row in rows:
        line = [
            page.name(row.label),
            page.text(row.num_runs),
            _range(row.worst, 100),
            _range(row.mean, 100),
        ]
        line.append(page.number(row.rollouts.mean))
        if baseline is not None:
            line.append(page.MISSING if row.change is None else _range(row.change, 1, sign="+"))
        line += [_reached(row, level) for level in thresholds]
        cells.append(line)
    note = (
        "At the last evaluation: mean over runs, with minimum and maximum where there are several. Steps and rollouts "
        "are those of the first evaluation at or above the accuracy, mean over the runs that reach it."
    )
    return page.table(heads, cells) + page.paragraph(note)


def _run_table(groups: Mapping[str, Sequence[Run]]) -> str:
    cells = []
    for label, runs in groups.items():
        for run in runs:
            (row,) = method_table({label: [run]})
            cells.append(
                [
                    page.name(run.path.name),
                    page.name(label),
                    page.text(run.config.get("seed", page.MISSING)),
                    page.text(run.status),
                    page.number(run.last_step),
                    page.percent(row.worst.mean),
                    page.percent(row.mean.mean),
                    page.number(row.rollouts.mean),
                ]
            )
    return page.table(
        ("run", "method", "seed", "status", "steps", "worst task, %", "mean, %", "rollouts"), cells
    )


def _range(values: Range, scale: float, *, sign: str = "") -> str:
    if values.mean != values.mean:
        return page.MISSING
    shown = f"{scale * values.mean:{sign}.1f}"
    if values.low == values.high:
        return shown
    return f"{shown} ({scale * values.low:{sign}.1f} to {scale * values.high:{sign}.1f})"


def _reached(row: MethodRow, level: float) -> str:
    costs = row.reached[level]
    if not costs:
        return "never" if row.num_evaluated else page.MISSING
    steps, rollouts = (
        sum(getattr(c, key) for c in costs) / len(costs) for key in ("steps", "rollouts")
    )
    share = f" ({len(costs)} of {row.num_evaluated} runs)" if len(costs) < row.num_evaluated else ""
    return f"{page.number(steps)} / {page.number(rollouts)}{share}"

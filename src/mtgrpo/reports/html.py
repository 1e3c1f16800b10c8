"""The report of one run: a single HTML file that loads nothing, runs nothing, and can be mailed."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtgrpo.errors import ConfigError, RunError
from mtgrpo.reports import figures as fig
from mtgrpo.reports import page
from mtgrpo.reports.compare import change_against
from mtgrpo.reports.comparison_page import write_comparison
from mtgrpo.reports.curves import (
    accuracy_curves,
    cost_to_reach,
    shares_met_rate,
    step_curves,
    task_table,
)
from mtgrpo.reports.samples import samples_section
from mtgrpo.runlog import Run, read_run
from mtgrpo.runlog.files import os_errors_as, write_text

__all__ = ["write_comparison", "write_report"]

STATUS = {
    "finished": "",
    "running": "This run is still going on: the figures show what is there so far.",
    "interrupted": "This run was interrupted before its last step; it can be resumed (see the end of this page).",
    "failed": "This run failed before its last step; the figures show what was logged until then.",
    "killed": "This run ended without a word (killed, or the machine went down); it can be resumed from its last "
    "checkpoint (see the end of this page).",
}


def write_report(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    baselines: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Write the HTML report of a run, whatever state it is in.

    Args:
        run_dir: Run directory.
        out: HTML file; None writes ``report.html`` into the run directory, and every figure as SVG and PNG into
            its ``figures/``.
        baselines: Run directories of other methods on the same tasks, to compare with.

    Returns:
        The HTML file.

    Raises:
        RunError: Not a run directory, a damaged one, or the report cannot be written.
        MissingExtra: matplotlib or PyYAML is not installed.
    """
    run = read_run(run_dir)
    others = [read_run(path) for path in baselines]
    drawn = _figures(run)
    path = run.path / "report.html" if out is None else Path(out)
    body = "\n".join(
        (
            _head(run),
            _headline(run),
            page.section("Curves", page.figure_grid(drawn)),
            page.section("Tasks", _task_table(run)),
            page.section("Against other runs", _baseline_table(run, others)),
            samples_section(run),
            page.section("Go on with this run", _commands(run)),
            page.section("Configuration and environment", _settings(run)),
        )
    )
    write_text(path, page.page(f"mtgrpo report: {_title(run)}", body))
    if out is None:
        fig.save({ident: figure for ident, figure, _ in drawn}, run.path / "figures")
    return path


def _title(run: Run) -> str:
    return run.path.resolve().name


def _head(run: Run) -> str:
    preset, seed = run.config.get("preset"), run.config.get("seed")
    about = [f"{len(run.tasks)} tasks", f"{run.last_step:,} steps", f"status: {run.status}"]
    about += [f"method: {preset}"] if preset is not None else []
    about += [f"seed {seed}"] if seed is not None else []
    parts = [f"<h1>{page.name(_title(run))}</h1>", page.paragraph(" · ".join(about))]
    if status := STATUS.get(run.status, f"Unknown status: {run.status}"):
        parts.append(page.notice(status))
    if reason := run.summary.get("reason") or run.summary.get("error"):
        parts.append(page.notice(f"Reason: {reason}"))
    if not run.evaluations:
        parts.append(
            page.notice("No evaluation was logged: test accuracy is not known, before or after.")
        )
    elif len(run.evaluations) == 1:
        step = run.evaluations[0].step
        parts.append(
            page.notice(f"One evaluation was logged (step {step}): nothing to compare it with yet.")
        )
    if not run.metrics:
        parts.append(page.notice("No training step was logged."))
    return "\n".join(parts)


def _headline(run: Run) -> str:
    curves, cards = accuracy_curves(run), []
    if len(curves.steps):
        worst, mean, index = curves.worst, curves.mean, curves.worst_index

        def arrow(values: np.ndarray) -> str:
            first = page.percent(float(values[0]))
            return (
                f"{first} → {page.percent(float(values[-1]))} %"
                if len(values) > 1
                else f"{first} %"
            )

        def task(row: int) -> str:
            k = index[row]
            return page.MISSING if k is None else run.tasks[k]

        names = f"{task(0)} → {task(-1)}" if index[0] != index[-1] else task(-1)
        cards.append(("Worst-task accuracy", arrow(worst), names))
        cards.append(("Mean accuracy over tasks", arrow(mean), "every task counts the same"))
    if run.metrics:
        last = run.metrics[-1]
        cards.append(("Rollouts", page.number(last.rollouts), "completions generated for training"))
        cards.append(("Training time", page.duration(last.elapsed_s), f"{run.last_step:,} steps"))
        met = shares_met_rate(run)
        if met == met:
            cards.append(
                ("Shares met", f"{100 * met:.1f} %", "steps whose trained groups equal the quotas")
            )
    return page.cards(cards) if cards else ""


def _figures(run: Run) -> list[tuple[str, fig.Figure, str]]:
    accuracy, steps = accuracy_curves(run), step_curves(run)
    found: list[tuple[str, fig.Figure, str]] = []
    if len(accuracy.steps):
        caption = "Test accuracy. The task that is worst at an evaluation is drawn thick; dashed: the worst-task line."
        found.append(("accuracy", fig.accuracy_figure(accuracy), caption))
        if accuracy.rollouts[-1] > accuracy.rollouts[0]:
            caption = "The same over completions generated, which is what training costs."
            found.append(
                ("accuracy-rollouts", fig.accuracy_figure(accuracy, x="rollouts"), caption)
            )
    if not len(steps.steps):
        return found
    if not np.isnan(steps.weights).all():
        found.append(
            (
                "weights",
                fig.weights_figure(steps, accuracy),
                "Task weights that each step's quotas follow.",
            )
        )
    if not np.isnan(steps.realized).all():
        caption = "What the batch was trained on, against what the weights asked for."
        found.append(("shares", fig.shares_figure(steps, accuracy), caption))
    if not np.isnan(steps.acceptance).all():
        caption = "How many of a task's generated groups carry a gradient."
        found.append(("acceptance", fig.acceptance_figure(steps, accuracy), caption))
    if not np.isnan(steps.rounds).all():
        caption = (
            "Generation rounds, groups generated and groups missing from the quotas, step by step."
        )
        found.append(("effort", fig.effort_figure(steps), caption))
    return found


def _task_table(run: Run) -> str:
    rows = task_table(run)
    if not rows:
        return page.paragraph("The run directory names no tasks.")
    cells = [
        [
            page.name(r.task),
            page.percent(r.before, r.before_error),
            page.percent(r.after, r.after_error),
            page.signed(r.change, r.change_error),
            page.percent(r.acceptance_rate),
            page.number(r.final_weight, 3),
            page.percent(r.target_share),
            page.percent(r.realized_share),
            page.number(r.num_generated),
        ]
        for r in rows
    ]
    curves = accuracy_curves(run)
    for label, values in (("worst task", curves.worst), ("mean of tasks", curves.mean)):
        before = float(values[0]) if len(values) else np.nan
        after = float(values[-1]) if len(values) > 1 else np.nan
        cells.append(
            [
                label,
                page.percent(before),
                page.percent(after),
                page.signed(after - before),
                *[""] * 5,
            ]
        )
    heads = ("task", "accuracy before, %", "after, %", "change, points", "acceptance rate, %", "final weight",
             "target share, %", "realised share, %", "groups generated")  # fmt: skip
    note = (
        "Accuracy on test prompts at the first and the last evaluation, ± one standard error; the error of a change "
        "treats the two evaluations as independent. Acceptance is over the whole run, shares are means over steps."
    )
    return page.table(heads, cells, totals=2) + page.paragraph(note)


def _baseline_table(run: Run, others: Sequence[Run]) -> str:
    if not others:
        return ""
    rows, notes = [], []
    for other in others:
        curves = accuracy_curves(other)
        worst = float(curves.worst[-1]) if len(curves.steps) else np.nan
        mean = float(curves.mean[-1]) if len(curves.steps) else np.nan
        try:
            change = change_against(run, other)
        except (ConfigError, RunError) as error:
            change = np.nan
            notes.append(page.paragraph(str(error)))
        cost = cost_to_reach(run, worst) if worst == worst else None
        theirs = cost_to_reach(other, worst) if worst == worst else None
        rows.append(
            [
                page.name(f"{_title(other)} ({other.config.get('preset', 'no preset')})"),
                page.percent(worst),
                page.percent(mean),
                page.signed(change, scale=1.0),
                f"{page.number(cost.steps)} / {page.number(theirs.steps)}"
                if cost and theirs
                else page.MISSING,
                f"{page.number(cost.rollouts)} / {page.number(theirs.rollouts)}"
                if cost and theirs
                else page.MISSING,
            ]
        )
    heads = ("other run", "its worst task, %", "its mean, %", "this run: relative change per task, %",
             "steps to its final worst-task accuracy, this / that", "rollouts to it, this / that")  # fmt: skip
    return page.table(heads, rows) + "".join(notes)


def _commands(run: Run) -> str:
    directory = shlex.quote(os.fspath(run.path))
    checkpoints = run.checkpoints()
    lines = []
    if run.status != "finished":
        known = (
            "resumes from the newest checkpoint"
            if checkpoints
            else "no checkpoint yet: start again elsewhere"
        )
        lines += [f"# {known}", f"mtgrpo train {directory} --output {directory} --resume"]
    if checkpoints:
        newest = shlex.quote(os.fspath(list(checkpoints.values())[-1]))
        lines += [
            "# test accuracy of the newest checkpoint",
            f"mtgrpo eval {directory} --model {newest}",
        ]
    lines += ["# this report again", f"mtgrpo report {directory}"]
    return page.pre("\n".join(lines))


def _settings(run: Run) -> str:
    parts: list[str] = []
    files = {
        "config.yaml": run.config,
        "environment.json": run.environment,
        "summary.json": run.summary,
    }
    for name, content in files.items():
        if not content:
            parts.append(page.paragraph(f"{name} is not in the run directory."))
            continue
        file = run.path / name
        with os_errors_as(file, "read"):
            written = file.read_text(encoding="utf-8", errors="replace")
        if name.endswith(".json"):
            written = json.dumps(content, indent=2, ensure_ascii=False)
        parts.append(
            page.details(
                page.text(name), page.pre(written, most=200_000), is_open=name == "config.yaml"
            )
        )
    return "".join(parts)

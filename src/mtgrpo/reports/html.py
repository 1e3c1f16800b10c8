"""The report of one run: a single HTML file that loads nothing, runs nothing, can be mailed."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtgrpo.errors import counted
from mtgrpo.reports import figures as fig
from mtgrpo.reports import page
from mtgrpo.reports.comparison_page import write_comparison
from mtgrpo.reports.curves import AccuracyCurves, Floats, accuracy_curves, step_curves
from mtgrpo.reports.figure_files import save
from mtgrpo.reports.page_files import write_page
from mtgrpo.reports.run_tables import baseline_table, changes_table, task_rows_table
from mtgrpo.reports.samples import samples_section
from mtgrpo.reports.task_rows import shares_met_rate
from mtgrpo.reports.training_curves import training_curves
from mtgrpo.reports.training_figures import (
    optimizer_figure,
    training_reward_figure,
    training_score_figure,
)
from mtgrpo.runlog import Run, read_run
from mtgrpo.runlog.evaluation_settings import settings_changes
from mtgrpo.runlog.files import os_errors_as
from mtgrpo.runlog.going_on import resume_line
from mtgrpo.runlog.progress import in_words, progress_of

__all__ = ["write_comparison", "write_report"]

REFRESH_S = 30
"""Seconds after which a browser reads the report of a run again that is going on."""
STATUS = {
    "finished": "",
    "running": "This run is still going on: the figures show what is there so far. `mtgrpo report "
    "... --watch` keeps this file up to date until the run ends.",
    "interrupted": "This run was interrupted before its last step; it can be resumed "
    "(see the end of this page).",
    "failed": "This run failed before its last step; the figures show what was logged until then.",
    "killed": "This run ended without a word (killed, or the machine went down); it can be resumed "
    "from its last checkpoint (see the end of this page).",
}


def write_report(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    baselines: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Write the HTML report of a run, whatever state it is in.

    Args:
        run_dir: Run directory.
        out: HTML file; None writes ``report.html`` into the run directory, and every figure as SVG
            and PNG into its ``figures/``. A report there is replaced, anything else refused.
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

    parts = [
        _head(run),
        _headline(run),
        page.section("Curves", page.figure_grid(drawn)),
        page.section("Tasks", task_rows_table(run)),
        page.section("Tasks that changed", changes_table(run)),
        page.section("Against other runs", baseline_table(run, others)),
        samples_section(run),
        page.section("Go on with this run", _commands(run)),
        page.section("Configuration and environment", _settings(run)),
    ]
    # A finished page stays as it is: whoever reads it would lose the place.
    refresh_s = REFRESH_S if run.status == "running" else 0
    body = "\n".join(parts)
    write_page(path, f"mtgrpo report: {run.name}", body, refresh_s=refresh_s)

    if out is None:
        save({ident: figure for ident, figure, _ in drawn}, run.path / "figures")

    return path


def _head(run: Run) -> str:
    about = [
        counted(len(run.tasks), "task"),
        counted(run.last_step, "step"),
        f"status: {run.status}",
    ]
    progress = progress_of(run)
    if progress.total:
        about[1] = f"step {progress.step:,} of {progress.total:,}"
    if run.status == "running":
        about.append(f"time left: {in_words(progress.remaining_s)}")

    if (preset := run.config.get("preset")) is not None:
        about.append(f"method: {preset}")
    if (seed := run.config.get("seed")) is not None:
        about.append(f"seed {seed}")

    notices = [page.notice(message) for message in _messages(run)]

    return "\n".join(
        [f"<h1>{page.name(run.name)}</h1>", page.paragraph(" · ".join(about)), *notices]
    )


def _messages(run: Run) -> list[str]:
    """What has to be known before anything else is read."""
    messages: list[str] = []

    if status := STATUS.get(run.status, f"Unknown status: {run.status}"):
        messages.append(status)
    if reason := run.summary.get("reason") or run.summary.get("error"):
        messages.append(f"Reason: {reason}")

    if not run.evaluations:
        messages.append("No evaluation was logged: test accuracy is not known, before or after.")
    elif len(run.evaluations) == 1:
        step = run.evaluations[0].step
        messages.append(f"One evaluation was logged (step {step}): nothing to compare it with yet.")

    for change in settings_changes(run.evaluations, run.tasks):
        messages.append(
            f"Evaluation settings changed before step {change.step:,}: {change.what}. Accuracies "
            "from before and after are not comparable."
        )

    if not run.metrics:
        messages.append("No training step was logged.")

    return messages


def _headline(run: Run) -> str:
    """The few figures to see first."""
    curves = accuracy_curves(run)
    cards: list[tuple[str, str, str]] = []

    if len(curves.steps):
        rows = curves.last_stretch
        since = ""
        if curves.changes:
            since = f"; since evaluation settings changed before step {curves.changes[-1].step:,}"

        worst, mean = _before_and_after(curves.worst[rows]), _before_and_after(curves.mean[rows])
        measure = run.evaluations[-1].measure
        cards.append((f"Worst-task {measure}", worst, _worst_names(curves) + since))
        cards.append((f"Mean {measure} over tasks", mean, "every task counts the same" + since))

    if run.metrics:
        last = run.metrics[-1]
        rollouts, time = page.number(last.rollouts), page.duration(last.elapsed_s)
        cards.append(("Rollouts", rollouts, "completions generated for training"))
        cards.append(("Training time", time, counted(run.last_step, "step")))

        met = shares_met_rate(run)
        if met == met:
            remark = "steps whose trained groups equal the quotas"
            cards.append(("Shares met", f"{100 * met:.1f} %", remark))

    if not cards:
        return ""

    return page.cards(cards)


def _before_and_after(values: Floats) -> str:
    first, last = page.percent(float(values[0])), page.percent(float(values[-1]))
    if len(values) == 1:
        return f"{first} %"

    return f"{first} → {last} %"


def _worst_names(curves: AccuracyCurves) -> str:
    """Names of the task that is worst at first and at last."""
    names: list[str] = []
    columns = curves.worst_index[curves.last_stretch]
    for column in (columns[0], columns[-1]):
        names.append(page.MISSING if column is None else curves.tasks[column])

    return " → ".join(dict.fromkeys(names))


def _figures(run: Run) -> list[tuple[str, fig.Figure, str]]:
    """Identifier, figure and caption of everything that was logged."""
    accuracy, steps = accuracy_curves(run), step_curves(run)
    figures: list[tuple[str, fig.Figure, str]] = []

    if len(accuracy.steps):
        caption = (
            f"Test {run.evaluations[-1].measure}. The task that is worst at an evaluation is drawn "
            "thick; "
            "dashed: the worst-task line."
        )
        figures.append(("accuracy", fig.accuracy_figure(accuracy), caption))

        if accuracy.rollouts[-1] > accuracy.rollouts[0]:
            caption = "The same over completions generated, which is what training costs."
            figure = fig.accuracy_figure(accuracy, x="rollouts")
            figures.append(("accuracy-rollouts", figure, caption))

    training = training_curves(run)
    if _is_known(training.score):
        caption = f"Training {training.measure} of all completions generated, before the filter."
        figures.append(("training-score", training_score_figure(training, accuracy), caption))

    if _is_known(training.reward):
        caption = "Training reward of all completions generated, before the filter."
        figures.append(("training-reward", training_reward_figure(training, accuracy), caption))

    if _is_known(steps.weights):
        caption = "Task weights that each step's quotas follow."
        figures.append(("weights", fig.weights_figure(steps, accuracy), caption))

    if _is_known(steps.realized):
        caption = "What the batch was trained on, against what the weights asked for."
        figures.append(("shares", fig.shares_figure(steps, accuracy), caption))

    if _is_known(steps.acceptance):
        caption = "How many of a task's generated groups carry a gradient."
        figures.append(("acceptance", fig.acceptance_figure(steps, accuracy), caption))

    if _is_known(steps.rounds):
        caption = (
            "Generation rounds, groups generated and groups missing from the quotas, step by step."
        )
        figures.append(("effort", fig.effort_figure(steps), caption))

    if training.figures:
        caption = f"{', '.join(training.figures)}, step by step."
        figures.append(("optimizer", optimizer_figure(training), caption))

    return figures


def _is_known(values: Floats) -> bool:
    return not bool(np.isnan(values).all())


def _commands(run: Run) -> str:
    directory = shlex.quote(os.fspath(run.path))
    checkpoints = run.checkpoints()
    lines: list[str] = []

    if run.status != "finished":
        if checkpoints:
            lines.append("# resumes from the newest checkpoint")
        else:
            lines.append("# no checkpoint yet: start again elsewhere")
        lines.append(resume_line(run) or f"mtgrpo train {directory} --resume")

    if checkpoints:
        lines.append("# test accuracy of the trained model, or of the newest checkpoint")
        lines.append(f"mtgrpo eval {directory}")

    lines.append("# this report again")
    lines.append(f"mtgrpo report {directory}")

    return page.pre("\n".join(lines))


def _settings(run: Run) -> str:
    """The files that say what was run, as they are."""
    files = {
        "config.yaml": run.config,
        "environment.json": run.environment,
        "summary.json": run.summary,
    }

    parts: list[str] = []
    for name, content in files.items():
        if not content:
            parts.append(page.paragraph(f"{name} is not in the run directory."))
            continue

        if name.endswith(".json"):
            written = json.dumps(content, indent=2, ensure_ascii=False)
        else:
            with os_errors_as(run.path / name, "read"):
                written = (run.path / name).read_text(encoding="utf-8", errors="replace")

        shown = page.pre(written, most=200_000)
        parts.append(page.details(page.text(name), shown, is_open=name == "config.yaml"))

    return "".join(parts)

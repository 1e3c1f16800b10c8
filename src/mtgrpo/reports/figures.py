"""Figures of one run. Each function returns a matplotlib Figure.

No pyplot: no window, no global state. Names from a run are drawn as they are: neither TeX nor
mathtext reads them.
"""

from __future__ import annotations

import numpy as np

from mtgrpo.errors import counted, require
from mtgrpo.reports.curves import AccuracyCurves, Floats, StepCurves, broken

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

from mtgrpo.reports.style import (  # noqa: E402
    GREY,
    INK,
    X_LABELS,
    axis_top,
    colours,
    drawing,
    finish,
    legend,
    new_axes,
)
from mtgrpo.reports.task_lines import DIRECT_LABELS, draw_task_lines  # noqa: E402

DARK_GREY = "#777777"
DASHED = (0, (3, 2))
DOTTED = (0, (1, 1.5))
DASHED_LONG = (0, (8, 3))


def accuracy_figure(curves: AccuracyCurves, *, x: str = "steps") -> Figure:
    """Test accuracy of every task; the worst at the time is drawn thick, with its standard error.

    Args:
        curves: Accuracies of a run.
        x: ``"steps"``, ``"rollouts"`` or ``"seconds"``.
    """
    with drawing():
        title = f"Test {curves.measure} per task (thick: the worst at the time)"
        figure, axes = new_axes(title, X_LABELS[x], f"{curves.measure} (%)")
        cost = getattr(curves, x)  # (evaluations,)
        percent = 100 * curves.accuracy  # (evaluations, tasks)

        x_values, y_values = broken(cost, curves.changes), broken(percent, curves.changes)
        lines = {"ranking": curves.accuracy, "marker": "o"}
        shades = draw_task_lines(axes, curves.tasks, x_values, y_values, **lines)
        _draw_worst(axes, curves, cost, shades)

        worst, error = 100 * curves.worst, 100 * _worst_error(curves)  # (evaluations,)
        low, high = (broken(v, curves.changes) for v in (worst - error, worst + error))
        band = {"color": INK, "alpha": 0.12, "lw": 0}
        axes.fill_between(x_values, low, high, label="± 1 std. error", **band)

        line = {"color": INK, "lw": 1.1}
        worst_values, mean_values = (broken(v, curves.changes) for v in (worst, 100 * curves.mean))
        axes.plot(x_values, worst_values, ls=DASHED, zorder=5, label="worst task", **line)
        axes.plot(x_values, mean_values, ls=DOTTED, zorder=2, label="mean of tasks", **line)
        _draw_changes(axes, curves, cost)

        axes.set_ylim(0, axis_top(percent, worst + error))
        legend(axes)

        return finish(figure, axes, rollouts=x == "rollouts")


def weights_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Task weights over the steps; dotted: equal weights.

    Args:
        curves: What the mixer did in a run.
        accuracy: Says which tasks to point out among many.
    """
    with drawing():
        figure, axes = new_axes("Task weights", X_LABELS["steps"], "weight")
        draw_task_lines(axes, curves.tasks, curves.steps, curves.weights, _ranking(accuracy))

        equal = 1 / max(1, len(curves.tasks))
        axes.axhline(equal, color=INK, lw=0.9, ls=":", label="equal weights")

        axes.set_ylim(0, min(1.0, axis_top(curves.weights, most=1.0)))
        legend(axes)

        return finish(figure, axes)


def shares_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Each task's share of the groups trained on (line) against its target (dashes).

    Both are means over some steps. With more tasks than can be told apart: a point per task, its
    mean target against its mean realised share.
    """
    if len(curves.tasks) > DIRECT_LABELS:
        return _shares_scatter(curves)

    with drawing():
        window = _window(curves)
        title = "Share of the training batch: realised (line) and target (dashed)"
        label = f"share of groups (%, mean of {counted(window, 'step')})"
        figure, axes = new_axes(title, X_LABELS["steps"], label)

        realized = 100 * curves.share_over(curves.realized, window)  # (steps, tasks)
        target = 100 * curves.share_over(curves.target, window)  # (steps, tasks)
        ranking = _ranking(accuracy)
        draw_task_lines(axes, curves.tasks, curves.steps, realized, ranking, width=2.6)

        for k in range(len(curves.tasks)):
            name = None if k else "target"  # one entry of the legend stands for all
            axes.plot(curves.steps, target[:, k], color=INK, lw=1, ls=DASHED, zorder=4, label=name)

        axes.set_ylim(0, axis_top(realized, target))
        legend(axes)

        return finish(figure, axes)


def acceptance_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Acceptance rate per task: informative groups / generated groups, over some steps."""
    with drawing():
        window = _window(curves)
        title = "Acceptance rate: informative / generated groups"
        label = f"acceptance rate (%, over {counted(window, 'step')})"
        figure, axes = new_axes(title, X_LABELS["steps"], label)

        rates = 100 * curves.acceptance_over(window)  # (steps, tasks)
        draw_task_lines(axes, curves.tasks, curves.steps, rates, _ranking(accuracy))
        axes.set_ylim(0, axis_top(rates))

        return finish(figure, axes)


def effort_figure(curves: StepCurves) -> Figure:
    """What the batches cost: generation rounds, groups generated and shortfall of each step."""
    rows = (
        ("rounds", curves.rounds),
        ("groups\ngenerated", curves.groups_generated),
        ("short by\n(groups)", curves.shortfall),
    )

    with drawing():
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        panels = figure.subplots(len(rows), 1, sharex=True)
        width = float(np.clip(300 / max(1, len(curves.steps)), 0.6, 8))

        for axes, (label, values) in zip(panels, rows, strict=True):
            axes.vlines(curves.steps, 0, np.nan_to_num(values), color=colours(1)[0], lw=width)
            axes.set_ylabel(label)
            axes.set_ylim(0, max(1.0, axis_top(values, most=np.inf)))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))

        panels[0].set_title("What each step cost: rounds, groups generated, unmet quota")
        panels[-1].set_xlabel(X_LABELS["steps"])
        figure.align_ylabels(panels)

        return finish(figure, *panels)


def _draw_worst(axes: Axes, curves: AccuracyCurves, cost: Floats, shades: list[str]) -> None:
    """Draw the worst task at each evaluation thick, in its own colour."""
    worst = 100 * curves.worst  # (evaluations,)
    columns = curves.worst_index
    breaks = {change.row for change in curves.changes}

    for t, k in enumerate(columns):
        if k is None:
            continue

        told_apart = shades[k] != GREY
        shade = shades[k] if told_apart else DARK_GREY
        axes.plot(cost[t], worst[t], "o", ms=6 if told_apart else 4, color=shade, zorder=4)

        if t + 1 < len(columns) and columns[t + 1] == k and t + 1 not in breaks:
            stretch = slice(t, t + 2)
            line = {"lw": 4, "color": shade, "zorder": 3, "solid_capstyle": "round"}
            axes.plot(cost[stretch], worst[stretch], **line)


def _draw_changes(axes: Axes, curves: AccuracyCurves, cost: Floats) -> None:
    """A vertical line half-way between two evaluations that are not comparable."""
    for i, change in enumerate(curves.changes):
        place = (cost[change.row - 1] + cost[change.row]) / 2
        label = None if i else "evaluation settings changed"  # one entry of the legend
        axes.axvline(place, color=DARK_GREY, lw=1, ls=DASHED_LONG, zorder=1, label=label)


def _worst_error(curves: AccuracyCurves) -> Floats:
    """Standard error of the worst task's accuracy at each evaluation, 0 where not known."""
    errors = np.zeros(len(curves.steps))
    for t, k in enumerate(curves.worst_index):
        if k is not None:
            errors[t] = np.nan_to_num(curves.std_error[t, k])

    return errors


def _shares_scatter(curves: StepCurves) -> Figure:
    """A point per task: its mean target share against its mean realised share."""
    with drawing():
        figure, axes = new_axes(
            f"Share of the training batch, mean over the run ({len(curves.tasks)} tasks)",
            "target share of groups (%)",
            "realised share of groups (%)",
        )

        whole_run = max(1, len(curves.steps))
        target = 100 * curves.share_over(curves.target, whole_run)[-1:].ravel()  # (tasks,)
        realized = 100 * curves.share_over(curves.realized, whole_run)[-1:].ravel()  # (tasks,)

        top = axis_top(target, realized)
        axes.plot([0, top], [0, top], color=INK, lw=0.9, ls=":", label="exactly as wanted")
        axes.plot(target, realized, "o", ms=4, alpha=0.7, color=colours(1)[0], label="a task")

        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        legend(axes)

        return figure


def _ranking(accuracy: AccuracyCurves | None) -> Floats | None:
    """Accuracies that say which tasks are worst and best; None where there are none."""
    if accuracy is None or not len(accuracy.steps):
        return None

    return accuracy.accuracy


def _window(curves: StepCurves) -> int:
    """Steps to average over: many enough to read a trend, few enough to see it move."""
    return max(1, min(20, len(curves.steps) // 10))

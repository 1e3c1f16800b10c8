"""Figures of training: what each task earned while it was trained, and how the optimizer did."""

from __future__ import annotations

import numpy as np

from mtgrpo.errors import counted, require
from mtgrpo.reports.curves import AccuracyCurves, Floats, running_mean
from mtgrpo.reports.training_curves import TrainingCurves

require("matplotlib", "report")

from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

from mtgrpo.reports.style import X_LABELS, axis_top, colours, drawing, finish, new_axes  # noqa: E402
from mtgrpo.reports.task_lines import draw_task_lines  # noqa: E402

GREY_LINE = {"lw": 0.7, "alpha": 0.35}


def training_score_figure(curves: TrainingCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Accuracy or score of what each task generated for training, over some steps.

    Args:
        curves: Figures of training.
        accuracy: Says which tasks to point out among many.
    """
    with drawing():
        values = 100 * _smoothed(curves, curves.score)  # (steps, tasks)
        title = f"Training {curves.measure} per task, before the filter"
        label = f"{curves.measure} (%, mean of {counted(_window(curves), 'step')})"
        figure, axes = new_axes(title, X_LABELS["steps"], label)

        draw_task_lines(axes, curves.tasks, curves.steps, values, _ranking(accuracy))
        axes.set_ylim(0, axis_top(values))
        return finish(figure, axes)


def training_reward_figure(
    curves: TrainingCurves, accuracy: AccuracyCurves | None = None
) -> Figure:
    """Reward of what each task generated for training, over some steps."""
    with drawing():
        values = _smoothed(curves, curves.reward)  # (steps, tasks)
        label = f"reward (mean of {counted(_window(curves), 'step')})"
        title = "Training reward per task, before the filter"
        figure, axes = new_axes(title, X_LABELS["steps"], label)

        draw_task_lines(axes, curves.tasks, curves.steps, values, _ranking(accuracy))
        return finish(figure, axes)


def optimizer_figure(curves: TrainingCurves) -> Figure:
    """Loss, KL divergence, entropy, lengths and step time, as far as they were logged."""
    with drawing():
        num_panels = max(1, len(curves.figures))
        figure = Figure(figsize=(6.4, 0.6 + 1.3 * num_panels), layout="constrained")
        panels = figure.subplots(num_panels, 1, sharex=True, squeeze=False)[:, 0]
        window = _window(curves)

        for axes, (label, values) in zip(panels, curves.figures.items(), strict=False):
            colour = colours(1)[0]
            axes.plot(curves.steps, values, color=colour, **GREY_LINE)
            axes.plot(curves.steps, running_mean(values, window), color=colour, lw=1.6)
            axes.set_ylabel(label.replace(" (", "\n("))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))

        panels[0].set_title(f"The optimizer (thick: mean of {counted(window, 'step')})")
        panels[-1].set_xlabel(X_LABELS["steps"])
        figure.align_ylabels(list(panels))
        return finish(figure, *panels)


def _smoothed(curves: TrainingCurves, values: Floats) -> Floats:
    """Means over some steps, each step counting by the groups it had; shape (steps, tasks)."""
    weights = None if np.isnan(curves.generated).all() else np.nan_to_num(curves.generated)
    return running_mean(values, _window(curves), weights)


def _ranking(accuracy: AccuracyCurves | None) -> Floats | None:
    if accuracy is None or not len(accuracy.steps):
        return None
    return accuracy.accuracy


def _window(curves: TrainingCurves) -> int:
    return max(1, min(20, len(curves.steps) // 10))

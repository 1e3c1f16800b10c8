"""Figures of a study with a panel per method or per measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtgrpo.errors import require
from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.reports.curves import Floats

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from mtgrpo.reports.labels import drawable  # noqa: E402
from mtgrpo.reports.style import INK, colours, drawing  # noqa: E402

PANELS_PER_ROW = 5
"""Most panels of dots in a row, before the methods' names are repeated."""


def dots_figure(
    results: StudyResults, columns: Sequence[tuple[str, Mapping[str, Sequence[float]]]]
) -> Figure:
    """A row per method, a panel per measure: a dot per seed, a bar at the mean.

    Args:
        results: Results of the study.
        columns: The label of each panel, and each method's values.
    """
    methods = results.finished_methods[::-1]
    high = -(-len(columns) // PANELS_PER_ROW)
    wide = -(-len(columns) // high)  # six panels: three and three

    with drawing():
        size = (1.8 + max(1.5, 5.8 / wide) * wide, high * (0.8 + 0.26 * len(methods)))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(high, wide, sharey=True, squeeze=False)
        for axes in panels.flat[len(columns) :]:
            axes.set_visible(False)

        for axes, (label, values) in zip(panels.flat, columns, strict=False):
            _draw_dots(axes, methods, values, results.baseline)
            axes.set_xlabel(drawable(label, 40))
            axes.set_yticks(range(len(methods)), [drawable(method) for method in methods])

        return figure


def panels_figure(
    results: StudyResults,
    methods: Sequence[str],
    name: str,
    label: str,
    *,
    dashed: str | None = None,
) -> Figure:
    """A measure of every task over the steps, a panel per method: mean over seeds.

    Args:
        results: Results of the study.
        methods: Methods to draw, a panel each.
        name: ``accuracy`` (on test prompts), or a metric of a task, such as ``weight``.
        label: Label of the vertical axis.
        dashed: Another metric, drawn dashed.
    """
    tasks = results.runs[0].tasks
    columns = min(4, len(methods))
    rows = -(-len(methods) // columns)

    with drawing():
        figure = Figure(figsize=(1.2 + 2.1 * columns, 1.8 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(methods) :]:
            axes.set_visible(False)

        for axes, method in zip(grid.flat, methods, strict=False):
            runs = results.of(method)
            axes.set_title(drawable(method), fontsize=8)

            for task, colour in zip(tasks, colours(len(tasks)), strict=True):
                steps, mean = _mean_curve(runs, task, name)
                axes.plot(steps, mean, color=colour, lw=1.5, label=drawable(task))

                if dashed:
                    steps, mean = _mean_curve(runs, task, dashed)
                    axes.plot(steps, mean, color=INK, lw=0.8, ls=(0, (3, 2)))

        # the lowest of each column, whatever is hidden below it
        for axes in grid.flat[max(0, len(methods) - columns) : len(methods)]:
            axes.tick_params(labelbottom=True)

        # shared; set last, or the first panel alone would decide the top
        grid[0, 0].set_ylim(0, None)

        figure.supylabel(label, fontsize=8)
        figure.supxlabel("training steps", fontsize=8)

        handles, names = grid.flat[0].get_legend_handles_labels()
        columns = min(5, len(names))
        figure.legend(handles, names, loc="outside upper center", ncols=columns, fontsize=7)

        return figure


def _draw_dots(
    axes: Axes, methods: Sequence[str], values: Mapping[str, Sequence[float]], baseline: str
) -> None:
    """A row per method: its values as dots, in another colour for the baseline, and their mean."""
    for is_baseline, colour in zip((False, True), colours(2), strict=True):
        x: list[float] = []
        y: list[int] = []
        for row, method in enumerate(methods):
            if (method == baseline) is is_baseline:
                x += values.get(method, ())
                y += [row] * len(values.get(method, ()))

        axes.plot(x, y, "o", ms=3.5, color=colour, alpha=0.55, mew=0)

    rows = [row for row, method in enumerate(methods) if values.get(method)]
    means = [float(np.mean(values[methods[row]])) for row in rows]
    low, high = [row - 0.3 for row in rows], [row + 0.3 for row in rows]
    axes.vlines(means, low, high, color=INK, lw=1.6)


def _mean_curve(
    runs: Sequence[RunResult], task: str, name: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Steps, and the mean over runs of a task's measure at each."""
    steps: list[Floats] = []
    curves: list[Floats] = []

    for run in runs:
        if name == "accuracy":
            steps.append(run.steps)
            curves.append(run.accuracy[:, run.tasks.index(task)])
        elif f"task/{task}/{name}" in run.series:
            steps.append(run.series["step"])
            curves.append(run.series[f"task/{task}/{name}"])

    if not curves:
        return [], []

    length = min(map(len, curves))
    values: Floats = np.array([curve[:length] for curve in curves])  # (runs, length)

    known = (~np.isnan(values)).sum(axis=0)
    sums = np.nansum(values, axis=0)
    mean = np.divide(sums, known, out=np.full(length, np.nan), where=known > 0)

    return steps[0][:length].tolist(), mean.tolist()

"""Figures of a study with a panel per method, per measure or per swept parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.reports.curves import Floats
from mtgrpo.reports.figures import Axes, Figure
from mtgrpo.reports.style import GREY, INK, colours, drawable, drawing

SWEEPS = {"lam": "λ", "eta": "η"}
"""Arguments of a weighting whose values are joined by a line in the trade-off."""
_LABELS_EVERY = 5  # at most so many panels of dots in a row, before the methods' names are repeated


def dots_figure(
    results: StudyResults, columns: Sequence[tuple[str, Mapping[str, Sequence[float]]]]
) -> Figure:
    """A row per method, a panel per measure: a dot per seed, a bar at the mean.

    Args:
        results: Of the study.
        columns: The label of each panel, and each method's values.
    """
    methods = results.finished_methods[::-1]
    high = -(-len(columns) // _LABELS_EVERY)
    wide = -(-len(columns) // high)  # six panels: three and three
    usual, special = colours(2)
    with drawing():
        size = (1.8 + max(1.5, 5.8 / wide) * wide, high * (0.8 + 0.26 * len(methods)))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(high, wide, sharey=True, squeeze=False)
        for axes in panels.flat[len(columns) :]:
            axes.set_visible(False)
        for axes, (label, values) in zip(panels.flat, columns, strict=False):
            for chosen, colour in ((False, usual), (True, special)):
                dots = [
                    (x, y)
                    for y, method in enumerate(methods)
                    if (method == results.baseline) is chosen
                    for x in values.get(method, ())
                ]
                axes.plot(
                    *zip(*dots, strict=True) if dots else ((), ()),
                    "o",
                    ms=3.5,
                    color=colour,
                    alpha=0.55,
                    mew=0,
                )
            means = {
                y: np.mean(values[method]) for y, method in enumerate(methods) if values.get(method)
            }
            axes.vlines(
                list(means.values()),
                [y - 0.3 for y in means],
                [y + 0.3 for y in means],
                color=INK,
                lw=1.6,
            )
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
        results: Of the study.
        methods: A panel each.
        name: ``accuracy`` (on test prompts), or a metric of a task, such as ``weight``.
        label: Of the axis.
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
            for task, colour in zip(tasks, colours(len(tasks)), strict=True):
                axes.plot(
                    *_mean_curve(runs, task, name), color=colour, lw=1.5, label=drawable(task)
                )
                if dashed:
                    axes.plot(*_mean_curve(runs, task, dashed), color=INK, lw=0.8, ls=(0, (3, 2)))
            axes.set_title(drawable(method), fontsize=8)
        for axes in grid.flat[max(0, len(methods) - columns) : len(methods)]:
            axes.tick_params(
                labelbottom=True
            )  # the lowest of each column, whatever is hidden below it
        grid[0, 0].set_ylim(
            0, None
        )  # shared; set last, or the first panel alone would decide the top
        figure.supylabel(label, fontsize=8)
        figure.supxlabel("training steps", fontsize=8)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=min(5, len(labels)), fontsize=7
        )
        return figure


def trade_off_figure(results: StudyResults) -> Figure:
    """Mean against worst-task accuracy at the end, a panel per swept parameter; bars from lowest to highest."""
    swept = {symbol: lines for name, symbol in SWEEPS.items() if (lines := sweeps(results, name))}
    symbols = list(swept) or [""]
    on_lines = {method for lines in swept.values() for line in lines.values() for _, method in line}
    plain = (
        "seq_",
        "grpo",
        "sec_",
        "dapo",
    )  # presets without the method's weights: grey points without a name
    named = [
        m
        for m in results.finished_methods
        if m not in on_lines and not str(results.methods[m].get("preset", m)).startswith(plain)
    ]
    with drawing():
        figure = Figure(figsize=(1.2 + 4.2 * len(symbols), 4.4), layout="constrained")
        panels: Sequence[Axes] = figure.subplots(
            1, len(symbols), sharex=True, sharey=True, squeeze=False
        )[0]
        for axes, symbol in zip(panels, symbols, strict=True):
            lines = swept.get(symbol, {})
            drawn = {method for line in lines.values() for _, method in line}
            for method in results.finished_methods:
                if method not in drawn:
                    is_base = method == results.baseline
                    place = _cross(axes, results.of(method), INK if is_base else GREY, bars=is_base)
                    if is_base or method in named:
                        axes.annotate(
                            drawable(method),
                            place,
                            xytext=(5, -9),
                            textcoords="offset points",
                            fontsize=7,
                        )
            for (name, line), colour in zip(
                lines.items(), colours(max(1, len(lines))), strict=False
            ):
                places = [_cross(axes, results.of(method), colour) for _, method in line]
                axes.plot(
                    *zip(*places, strict=True),
                    color=colour,
                    lw=1.5,
                    label=drawable(f"{name}, {symbol}", 40),
                )
                for i, ((value, _), place) in enumerate(zip(line, places, strict=True)):
                    axes.annotate(
                        f"{value:g}".replace("e-0", "e-"),
                        place,
                        xytext=(5, -10 if i % 2 else 4),  # neighbours may lie close together
                        textcoords="offset points",
                        color=colour,
                        fontsize=8,
                    )
            axes.set_xlabel("mean of tasks: accuracy at the end (%)")
            if lines:
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=7.5)
        panels[0].set_ylabel("worst task: accuracy at the end (%)")
        return figure


def sweeps(results: StudyResults, name: str) -> dict[str, list[tuple[float, str]]]:
    """Methods that differ in one argument of the weighting alone: preset and variant -> its values and methods."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for method in results.finished_methods:
        keys: Mapping[str, object] = results.methods[method]
        weighting = keys.get("weighting")
        if isinstance(weighting, Mapping) and name in weighting:
            group = f"{keys.get('preset')} ({keys.get('variant', 'default')})"
            groups.setdefault(group, []).append((float(weighting[name]), method))
    return {group: sorted(members) for group, members in groups.items() if len(members) > 1}


def _cross(
    axes: Axes, runs: Sequence[RunResult], colour: str, *, bars: bool = True
) -> tuple[float, float]:
    """Draw a method's point; returns its place."""
    mean, worst = (
        np.array([100 * getattr(run, of)[-1] for run in runs]) for of in ("mean", "worst")
    )
    x, y = float(mean.mean()), float(worst.mean())
    if bars:
        axes.plot([mean.min(), mean.max()], [y, y], color=colour, lw=0.9, alpha=0.5, zorder=1)
        axes.plot([x, x], [worst.min(), worst.max()], color=colour, lw=0.9, alpha=0.5, zorder=1)
    axes.plot(x, y, "o", ms=4.5 if bars else 3.5, color=colour, zorder=3)
    return x, y


def _mean_curve(
    runs: Sequence[RunResult], task: str, name: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Steps, and the mean over runs of a task's measure at each."""
    if name == "accuracy":
        kept = list(runs)
        curves = [run.accuracy[:, run.tasks.index(task)] for run in kept]
        steps = [run.steps for run in kept]
    else:
        kept = [run for run in runs if f"task/{task}/{name}" in run.series]
        curves, steps = (
            [run.series[f"task/{task}/{name}"] for run in kept],
            [run.series["step"] for run in kept],
        )
    if not kept:
        return [], []
    length = min(map(len, curves))
    values: Floats = np.array([curve[:length] for curve in curves])
    known = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mean = np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0) / known)
    return steps[0][:length].tolist(), mean.tolist()

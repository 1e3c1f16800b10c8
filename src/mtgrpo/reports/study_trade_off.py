"""The trade-off of a study: mean against worst-task accuracy, a panel per swept parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtgrpo.errors import require
from mtgrpo.evidence import RunResult, StudyResults

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from mtgrpo.reports.labels import drawable  # noqa: E402
from mtgrpo.reports.style import GREY, INK, colours, drawing  # noqa: E402

Line = list[tuple[float, str]]
"""Values of a swept parameter, each with its method."""
SWEEPS = {"lam": "λ", "eta": "η"}
"""Arguments of a weighting whose values are joined by a line."""
PLAIN_PRESETS = ("seq_", "grpo", "sec_", "dapo")
"""Presets without the method's weights: grey points without a name."""


def trade_off_figure(results: StudyResults) -> Figure:
    """Mean against worst-task accuracy at the end; bars from lowest to highest over seeds."""
    swept: dict[str, dict[str, Line]] = {}
    for name, symbol in SWEEPS.items():
        if lines := sweeps(results, name):
            swept[symbol] = lines

    symbols = list(swept) or [""]
    named = _named_points(results, swept)

    with drawing():
        figure = Figure(figsize=(1.2 + 4.2 * len(symbols), 4.4), layout="constrained")
        grid = figure.subplots(1, len(symbols), sharex=True, sharey=True, squeeze=False)

        for axes, symbol in zip(grid[0], symbols, strict=True):
            lines = swept.get(symbol, {})
            _draw_points(axes, results, lines, named)
            _draw_lines(axes, results, lines, symbol)
            axes.set_xlabel("mean of tasks: accuracy at the end (%)")

            if lines:
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=7.5)

        grid[0, 0].set_ylabel("worst task: accuracy at the end (%)")

        return figure


def sweeps(results: StudyResults, name: str) -> dict[str, Line]:
    """Methods that differ in one argument of the weighting alone, by preset and variant."""
    lines: dict[str, Line] = {}

    for method in results.finished_methods:
        keys: Mapping[str, object] = results.methods[method]
        weighting = keys.get("weighting")
        if isinstance(weighting, Mapping) and name in weighting:
            group = f"{keys.get('preset')} ({keys.get('variant', 'default')})"
            lines.setdefault(group, []).append((float(weighting[name]), method))

    return {group: sorted(line) for group, line in lines.items() if len(line) > 1}


def _named_points(results: StudyResults, swept: Mapping[str, Mapping[str, Line]]) -> set[str]:
    """Methods with the method's weights that are on no line: their grey points get a name."""
    on_lines: set[str] = set()
    for lines in swept.values():
        for line in lines.values():
            on_lines.update(method for _, method in line)

    named: set[str] = set()
    for method in results.finished_methods:
        preset = str(results.methods[method].get("preset", method))
        if method not in on_lines and not preset.startswith(PLAIN_PRESETS):
            named.add(method)

    return named


def _draw_points(
    axes: Axes, results: StudyResults, lines: Mapping[str, Line], named: set[str]
) -> None:
    """The methods that are on no line of this panel: the baseline in black, others grey."""
    on_lines = {method for line in lines.values() for _, method in line}

    for method in results.finished_methods:
        if method in on_lines:
            continue

        is_base = method == results.baseline
        place = _cross(axes, results.of(method), INK if is_base else GREY, bars=is_base)

        if is_base or method in named:
            offset = {"xytext": (5, -9), "textcoords": "offset points"}
            axes.annotate(drawable(method), place, fontsize=7, **offset)


def _draw_lines(axes: Axes, results: StudyResults, lines: Mapping[str, Line], symbol: str) -> None:
    """The values of one parameter of one rule, joined, each value written beside its point."""
    for (name, line), colour in zip(lines.items(), colours(max(1, len(lines))), strict=False):
        places = [_cross(axes, results.of(method), colour) for _, method in line]
        label = drawable(f"{name}, {symbol}", 40)
        axes.plot(*zip(*places, strict=True), color=colour, lw=1.5, label=label)

        for i, ((value, _), place) in enumerate(zip(line, places, strict=True)):
            below = i % 2 == 1  # neighbours may lie close together
            offset = {"xytext": (5, -10 if below else 4), "textcoords": "offset points"}
            text = f"{value:g}".replace("e-0", "e-")
            axes.annotate(text, place, color=colour, fontsize=8, **offset)


def _cross(
    axes: Axes, runs: Sequence[RunResult], colour: str, *, bars: bool = True
) -> tuple[float, float]:
    """Draw a method's point; returns its place."""
    mean = np.array([100 * run.mean[-1] for run in runs])
    worst = np.array([100 * run.worst[-1] for run in runs])
    x, y = float(mean.mean()), float(worst.mean())

    if bars:
        thin = {"color": colour, "lw": 0.9, "alpha": 0.5, "zorder": 1}
        axes.plot([mean.min(), mean.max()], [y, y], **thin)
        axes.plot([x, x], [worst.min(), worst.max()], **thin)

    axes.plot(x, y, "o", ms=4.5 if bars else 3.5, color=colour, zorder=3)

    return x, y

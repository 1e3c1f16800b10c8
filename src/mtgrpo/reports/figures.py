"""Figures of one run and of several. Each function returns a matplotlib Figure; `save` writes SVG and PNG.

No pyplot: no window, no global state. Names from a run are drawn as they are: neither TeX nor mathtext reads them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from mtgrpo.errors import require
from mtgrpo.reports.compare import Spread
from mtgrpo.reports.curves import AccuracyCurves, Floats, StepCurves, running_mean
from mtgrpo.runlog.files import os_errors_as

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

from mtgrpo.reports.style import (  # noqa: E402
    GREY,
    INK,
    LONGEST_LABEL,
    WORST,
    colours,
    drawable,
    drawing,
    finish,
    label_ends,
    legend,
    new_axes,
)

MOST_VECTOR_POINTS = (
    20_000  # grey lines of more points than this become pixels, or an SVG would not open
)
DARK_GREY = "#777777"
DIRECT_LABELS = 9  # more tasks than this are drawn grey, the worst and the best apart
X_LABELS = {
    "steps": "training steps",
    "rollouts": "rollouts (completions generated)",
    "seconds": "seconds of training",
}


def accuracy_figure(curves: AccuracyCurves, *, x: str = "steps") -> Figure:
    """Test accuracy of every task; whichever is worst at the time is drawn thick, with its standard error.

    Args:
        curves: Of a run.
        x: ``"steps"``, ``"rollouts"`` or ``"seconds"``.
    """
    with drawing():
        figure, axes = new_axes(
            "Test accuracy per task (thick: the worst at the time)", X_LABELS[x], "accuracy (%)"
        )
        cost, percent = getattr(curves, x), 100 * curves.accuracy
        shades = _lines(axes, curves.tasks, cost, percent, curves.accuracy, marker="o")
        worst, rows = 100 * curves.worst, curves.worst_index
        error = np.array(
            [
                0.0 if k is None else np.nan_to_num(curves.std_error[t, k])
                for t, k in enumerate(rows)
            ]
        )
        axes.fill_between(
            cost,
            worst - 100 * error,
            worst + 100 * error,
            color=INK,
            alpha=0.12,
            lw=0,
            label="± 1 std. error",
        )
        for t, k in enumerate(rows):
            if k is None:
                continue
            shade = shades[k] if shades[k] != GREY else DARK_GREY
            axes.plot(
                cost[t], worst[t], "o", ms=6 if shade != DARK_GREY else 4, color=shade, zorder=4
            )
            if t + 1 < len(rows) and rows[t + 1] == k:
                axes.plot(
                    cost[t : t + 2],
                    worst[t : t + 2],
                    lw=4,
                    color=shade,
                    zorder=3,
                    solid_capstyle="round",
                )
        axes.plot(cost, worst, color=INK, lw=1.1, ls=(0, (3, 2)), zorder=5, label="worst task")
        axes.plot(
            cost,
            100 * curves.mean,
            color=INK,
            lw=1.1,
            ls=(0, (1, 1.5)),
            zorder=2,
            label="mean of tasks",
        )
        axes.set_ylim(0, _top(np.concatenate([percent.ravel(), worst + 100 * error])))
        legend(axes)
        return finish(figure, axes, rollouts=x == "rollouts")


def weights_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Task weights over the steps; dotted: equal weights. `accuracy` says which tasks to point out among many."""
    with drawing():
        figure, axes = new_axes("Task weights", X_LABELS["steps"], "weight")
        _lines(axes, curves.tasks, curves.steps, curves.weights, _last_row(accuracy))
        axes.axhline(
            1 / max(1, len(curves.tasks)), color=INK, lw=0.9, ls=":", label="equal weights"
        )
        axes.set_ylim(0, min(1.0, _top(curves.weights, 1.0)))
        legend(axes)
        return finish(figure, axes)


def shares_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Each task's share of the groups trained on (line) against its target (dashes); means over some steps.

    With more tasks than can be told apart: a point per task, its mean target against its mean realised share.
    """
    window = _window(curves)
    with drawing():
        if len(curves.tasks) > DIRECT_LABELS:
            return _shares_scatter(curves)
        title = "Share of the training batch: realised (line) and target (dashed)"
        figure, axes = new_axes(
            title, X_LABELS["steps"], f"share of groups (%, mean of {window} steps)"
        )
        realized, target = (
            100 * running_mean(curves.realized, window),
            100 * running_mean(curves.target, window),
        )
        _lines(axes, curves.tasks, curves.steps, realized, _last_row(accuracy), width=2.6)
        for k in range(len(curves.tasks)):
            name = None if k else "target"
            axes.plot(
                curves.steps, target[:, k], color=INK, lw=1, ls=(0, (3, 2)), zorder=4, label=name
            )
        axes.set_ylim(0, _top(np.concatenate([realized.ravel(), target.ravel()])))
        legend(axes)
        return finish(figure, axes)


def acceptance_figure(curves: StepCurves, accuracy: AccuracyCurves | None = None) -> Figure:
    """Acceptance rate per task: informative groups / generated groups, as means over some steps."""
    window = _window(curves)
    with drawing():
        label = f"acceptance rate (%, mean of {window} steps)"
        figure, axes = new_axes(
            "Acceptance rate: informative / generated groups", X_LABELS["steps"], label
        )
        rates = 100 * running_mean(curves.acceptance, window)
        _lines(axes, curves.tasks, curves.steps, rates, _last_row(accuracy))
        axes.set_ylim(0, _top(rates))
        return finish(figure, axes)


def effort_figure(curves: StepCurves) -> Figure:
    """What the batches cost: generation rounds, groups generated and shortfall of each step."""
    with drawing():
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True)
        labels = ("rounds", "groups\ngenerated", "short by\n(groups)")
        for axes, values, label in zip(
            panels, (curves.rounds, curves.groups_generated, curves.shortfall), labels, strict=True
        ):
            width = _bar_width(len(curves.steps))
            axes.vlines(curves.steps, 0, np.nan_to_num(values), color=colours(1)[0], lw=width)
            axes.set_ylabel(label)
            axes.set_ylim(0, max(1.0, _top(values, np.inf)))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        panels[0].set_title("What each step cost: rounds, groups generated, unmet quota")
        panels[-1].set_xlabel(X_LABELS["steps"])
        figure.align_ylabels(panels)
        return finish(figure, *panels)


def comparison_figure(spreads: Sequence[Spread], *, x: str = "steps", of: str = "worst") -> Figure:
    """One accuracy curve per method: the mean over its seeds, and a band from minimum to maximum.

    Args:
        spreads: From `mtgrpo.reports.compare.spread_over_seeds`, made with the same `of`.
        x: ``"steps"``, ``"rollouts"`` or ``"seconds"``.
        of: ``"worst"``, ``"mean"`` or ``"change"`` (relative change; `spreads` then holds that, as a fraction), for
            the title and the axis.
    """
    what = {
        "worst": "Worst-task accuracy",
        "mean": "Mean accuracy over tasks",
        "change": "Relative change",
    }[of]
    band = (
        " (line: mean over seeds, band: min to max)" if any(s.num_runs > 1 for s in spreads) else ""
    )
    with drawing():
        figure, axes = new_axes(
            what + band, X_LABELS[x], "change (%)" if of == "change" else "accuracy (%)"
        )
        ends: list[tuple[float, float, str, str]] = []
        for i, (spread, colour) in enumerate(zip(spreads, colours(len(spreads)), strict=True)):
            if not len(spread.steps):
                continue
            cost = getattr(spread, x)
            style = ("-", (0, (4, 2)), (0, (1, 1.2)))[i // DIRECT_LABELS % 3]
            axes.fill_between(
                cost, 100 * spread.low, 100 * spread.high, color=colour, alpha=0.15, lw=0
            )
            axes.plot(cost, 100 * spread.mean, color=colour, lw=1.8, ls=style, marker="o", ms=3)
            ends.append((float(cost[-1]), float(100 * spread.mean[-1]), spread.label, colour))
        if of == "change":
            axes.axhline(0, color=INK, lw=0.9, ls=":")
        else:
            axes.set_ylim(0, _top(np.concatenate([[0.0], *(100 * s.high for s in spreads)])))
        label_ends(axes, ends)
        return finish(figure, axes, rollouts=x == "rollouts")


def save(
    figures: Mapping[str, Figure],
    folder: str | os.PathLike[str],
    *,
    suffixes: Sequence[str] = ("svg", "png"),
    dpi: int = 200,
) -> list[Path]:
    """Write every figure as ``<name>.svg`` and ``<name>.png``, or as other kinds.

    Raises:
        RunError: The folder cannot be written.
    """
    directory, written = Path(folder), []
    with os_errors_as(directory, "written"), drawing():
        directory.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for suffix in suffixes:
                path = directory / f"{name}.{suffix}"
                if suffix == "svg":
                    path.write_text(svg_text(figure), encoding="utf-8")
                else:
                    figure.savefig(path, dpi=dpi)
                written.append(path)
    return written


_SVG: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


def svg_text(figure: Figure) -> str:
    """A finished figure as SVG, drawn once: a page and a file show the same one. Its layout is fixed from then on."""
    if figure not in _SVG:
        file = io.StringIO()
        with drawing():
            figure.savefig(file, format="svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # arranging the panels is most of the work of drawing them
        _SVG[figure] = file.getvalue()
    return _SVG[figure]


def _lines(
    axes: Axes,
    tasks: Sequence[str],
    x: Floats,
    values: Floats,
    ranking: Floats | None,
    *,
    width: float = 1.6,
    marker: str | None = None,
) -> list[str]:
    """A line per task, labelled at its end; of many tasks only the worst and the best. Returns the tasks' colours."""
    few = len(tasks) <= DIRECT_LABELS
    shades, named = list(colours(len(tasks))), dict(enumerate(tasks))
    if not few:
        worst, best = _extremes(values if ranking is None else ranking)
        shades = [
            WORST if k == worst else colours(1)[0] if k == best else GREY for k in range(len(tasks))
        ]
        notes = ((worst, "worst"), (best, "best"))  # at the last evaluation
        named = {
            k: f"{drawable(tasks[k], LONGEST_LABEL - 8)} ({note})"
            for k, note in notes
            if k is not None
        }
    ends: list[tuple[float, float, str, str]] = []
    for k in range(len(tasks)):
        bold = k in named
        axes.plot(
            x, values[:, k], color=shades[k], lw=width if bold else 0.7, alpha=1 if bold else 0.6,
            marker=marker if bold else None, ms=3, zorder=2.5 if bold else 1,
            rasterized=not bold and values.size > MOST_VECTOR_POINTS,
        )  # fmt: skip
        known = np.flatnonzero(~np.isnan(values[:, k]))
        if bold and known.size:
            ends.append((float(x[known[-1]]), float(values[known[-1], k]), named[k], shades[k]))
    label_ends(axes, ends)
    if not few:
        axes.plot([], [], color=GREY, lw=1, label=f"{len(tasks) - len(named)} other tasks")
        legend(axes)
    return shades


def _shares_scatter(curves: StepCurves) -> Figure:
    figure, axes = new_axes(
        f"Share of the training batch, mean over the run ({len(curves.tasks)} tasks)",
        "target share of groups (%)",
        "realised share of groups (%)",
    )
    target, realized = (
        100 * running_mean(v, max(1, len(v)))[-1:] for v in (curves.target, curves.realized)
    )
    top = _top(np.concatenate([target.ravel(), realized.ravel()]))
    axes.plot([0, top], [0, top], color=INK, lw=0.9, ls=":", label="exactly as wanted")
    axes.plot(
        target.ravel(), realized.ravel(), "o", ms=4, alpha=0.7, color=colours(1)[0], label="a task"
    )
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    legend(axes)
    return figure


def _last_row(accuracy: AccuracyCurves | None) -> Floats | None:
    return accuracy.accuracy if accuracy is not None and len(accuracy.steps) else None


def _extremes(ranking: Floats) -> tuple[int | None, int | None]:
    """Columns of the lowest and the highest last value."""
    rows = ranking[~np.isnan(ranking).all(axis=1)] if len(ranking) else ranking
    if not len(rows):
        return None, None
    return int(np.nanargmin(rows[-1])), int(np.nanargmax(rows[-1]))


def _top(values: Floats, most: float = 100.0) -> float:
    """Upper end of an axis that starts at 0: a little above the highest value."""
    known = values[~np.isnan(values)]
    highest = float(known.max()) if known.size else 0.0
    return min(most * 1.02, highest * 1.08) if highest > 0 else 1.0


def _window(curves: StepCurves) -> int:
    """Steps to average over: enough to read a trend among noisy batches, few enough to see it move."""
    return max(1, min(20, len(curves.steps) // 10))


def _bar_width(count: int) -> float:
    return float(np.clip(300 / max(1, count), 0.6, 8))

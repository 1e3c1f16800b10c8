"""Figures of simulations: one run's curves, methods side by side, and what a parameter trades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtgrpo.errors import ConfigError, counted, require
from mtgrpo.reports.curves import Floats, running_mean

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from mtgrpo.reports.labels import drawable  # noqa: E402
from mtgrpo.reports.style import BRIGHT, GREY, INK, colours, drawing, finish  # noqa: E402

if TYPE_CHECKING:
    from mtgrpo.simulation import SimulationResult, Sweep
    from mtgrpo.simulation.command import SimulationOutcome

LINES = ("-", "--", ":", "-.")


def curves_figure(result: SimulationResult) -> Figure:
    """One run in four panels: accuracy, weights, shares of the batch, and zero-gradient groups."""
    steps = np.arange(result.steps + 1)
    window = max(1, result.steps // 40)
    realized = running_mean(result.realized, window)  # (steps, tasks)
    zero_gradient = 1 - _acceptance(result, window)  # (steps, tasks)

    with drawing():
        figure = Figure(figsize=(10, 7), layout="constrained")
        accuracy, weights, shares, waste = panels = list(figure.subplots(2, 2).flat)
        handles = list[Line2D]()

        for k, colour in enumerate(colours(len(result.tasks))):
            line = LINES[k // 9 % len(LINES)]
            handles += accuracy.plot(steps, result.accuracy[:, k], line, color=colour)
            weights.plot(steps[1:], result.weights[:, k], line, color=colour)
            shares.plot(steps[1:], realized[:, k], line, color=colour)
            waste.plot(steps[1:], zero_gradient[:, k], line, color=colour)

        handles += accuracy.plot(steps, result.mean_accuracy, color=INK, lw=2)

        mean = f"(mean of {counted(window, 'step')})"
        _title(accuracy, "True accuracy", "training steps", "accuracy")
        _title(weights, "Task weights", "training steps", "weight")
        _title(shares, f"Share of the batch {mean}", "training steps", "share")
        _title(waste, f"Zero-gradient groups {mean}", "training steps", "rate among generated")

        for panel in panels:
            panel.set_ylim(-0.02, 1.02)

        worst, of_tasks = result.worst_accuracy[-1], result.mean_accuracy[-1]
        figure.suptitle(
            f"simulated: {drawable(result.method)}, seed {result.seed}, "
            f"{int(result.rollouts[-1]):,} rollouts; "
            f"at the end worst {worst:.3f}, mean {of_tasks:.3f}"
        )
        _legend(figure, handles, [*result.tasks, "mean of tasks"])

        return finish(figure, *panels)


def comparison_figure(results: Sequence[SimulationResult]) -> Figure:
    """Worst-task accuracy of several runs, over steps and rollouts; one colour per method."""
    methods = list(dict.fromkeys(result.method for result in results))
    shades = dict(zip(methods, colours(len(methods)), strict=True))

    with drawing():
        figure = Figure(figsize=(10, 4), layout="constrained")
        by_step, by_rollouts = figure.subplots(1, 2, sharey=True)
        handles: dict[str, Line2D] = {}

        for result in results:
            steps, worst = np.arange(result.steps + 1), result.worst_accuracy
            shade = shades[result.method]
            (handles[result.method],) = by_step.plot(steps, worst, color=shade, lw=1.2)
            by_rollouts.plot(result.rollouts, worst, color=shade, lw=1.2)

        title = "Worst task against steps (simulated)"
        _title(by_step, title, "training steps", "accuracy of the worst task")
        _title(by_rollouts, "Worst task against cost", "rollouts (completions generated)", "")
        _legend(figure, list(handles.values()), list(handles))

        finish(figure, by_step)
        return finish(figure, by_rollouts, rollouts=True)


def tradeoff_figure(sweep: Sweep) -> Figure:
    """Mean against worst-task accuracy: a point per value of the parameter, joined in their order.

    Small points are single seeds.
    """
    rows = sweep.rows()
    mean = np.array([row["mean_accuracy"] for row in rows])
    worst = np.array([row["worst_accuracy"] for row in rows])
    mean_error = [row["mean_accuracy_se"] for row in rows]
    worst_error = [row["worst_accuracy_se"] for row in rows]

    with drawing():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.subplots()

        seeds = {"s": 10, "color": GREY, "lw": 0, "label": "one seed"}
        axes.scatter(sweep.mean_accuracy, sweep.worst_accuracy, **seeds)

        label = f"mean of {counted(len(sweep.seeds), 'seed')} ± 1 std. error"
        means = {"color": BRIGHT[0], "marker": "o", "ms": 5, "capsize": 2, "label": label}
        axes.errorbar(mean, worst, worst_error, mean_error, **means)

        axes.margins(0.12)
        _name_points(axes, mean, worst, [str(value) for value in sweep.values])

        title = f"{drawable(sweep.preset)}, varying {drawable(sweep.parameter)} (simulated)"
        _title(axes, title, "mean accuracy of the tasks", "accuracy of the worst task")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, borderaxespad=0)

        return figure


def _acceptance(result: SimulationResult, window: int) -> Floats:
    """Informative groups / generated groups over the last steps, shape (steps, tasks)."""
    informative = running_mean(result.informative.astype(float), window)
    generated = running_mean(result.generated.astype(float), window)
    unknown = np.full(generated.shape, np.nan)

    return np.divide(informative, generated, out=unknown, where=generated > 0)


def _title(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _legend(figure: Figure, handles: Sequence[Line2D], names: Sequence[str]) -> None:
    # The space: matplotlib leaves out labels that begin with an underscore, and a task's name may.
    labels = [f" {drawable(name)}" for name in names]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))


def _name_points(axes: Axes, x: Floats, y: Floats, names: Sequence[str]) -> None:
    """Write each name beside its point; points that all but coincide share one text."""
    width = 0.06 * np.ptp(axes.get_xlim())
    height = 0.04 * np.ptp(axes.get_ylim())
    texts: dict[tuple[float, float], list[str]] = {}

    for a, b, name in zip(x.tolist(), y.tolist(), names, strict=True):
        for c, d in texts:
            if abs(c - a) < width and abs(d - b) < height:
                texts[c, d].append(name)
                break
        else:
            texts[a, b] = [name]

    for place, together in texts.items():
        axes.annotate(", ".join(together), place, xytext=(9, -12), textcoords="offset points")


def save_outcome(outcome: SimulationOutcome, path: str | Path) -> Path:
    """Write the figure of ``mtgrpo simulate``: of a sweep, of several methods, or of one run.

    Raises:
        ConfigError: The file name's ending is no image format.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{path}: {path.suffix or 'no ending'}; allowed: .png, .svg, .pdf")

    first = [runs[0] for runs in outcome.runs.values()]

    if outcome.sweep is not None:
        figure = tradeoff_figure(outcome.sweep)
    elif len(first) > 1:
        figure = comparison_figure(first)
    else:
        figure = curves_figure(first[0])

    with drawing():  # the settings are read when text is drawn
        figure.savefig(path, dpi=150)

    return path

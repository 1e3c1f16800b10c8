"""Figures of simulations: one run's curves, methods side by side, and what a knob trades. Data in, figure out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtgrpo.errors import ConfigError, require
from mtgrpo.reports.curves import Floats, running_mean

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from mtgrpo.reports.style import BRIGHT, GREY, INK, colours, drawable, drawing, finish  # noqa: E402

if TYPE_CHECKING:
    from mtgrpo.simulation import SimulationResult, Sweep
    from mtgrpo.simulation.command import SimulationOutcome

LINES = ("-", "--", ":", "-.")


def curves_figure(result: SimulationResult) -> Figure:
    """One run in four panels: accuracy, weights, shares of the batch, and zero-gradient groups."""
    with drawing():
        figure = Figure(figsize=(10, 7), layout="constrained")
        accuracy, weights, shares, waste = panels = list(figure.subplots(2, 2).flat)
        steps, window = np.arange(result.steps + 1), max(1, result.steps // 40)
        informative = running_mean(result.informative.astype(float), window)
        generated = running_mean(result.generated.astype(float), window)
        zero = 1 - np.divide(
            informative, generated, out=np.full(generated.shape, np.nan), where=generated > 0
        )
        realized, handles = running_mean(result.realized, window), list[Line2D]()
        for k, colour in enumerate(colours(len(result.tasks))):
            line = LINES[k // 9 % len(LINES)]
            handles += accuracy.plot(steps, result.accuracy[:, k], line, color=colour)
            weights.plot(steps[1:], result.weights[:, k], line, color=colour)
            shares.plot(steps[1:], realized[:, k], line, color=colour)
            waste.plot(steps[1:], zero[:, k], line, color=colour)
        handles += accuracy.plot(steps, result.mean_accuracy, color=INK, lw=2)
        _title(accuracy, "True accuracy", "training steps", "accuracy")
        _title(weights, "Task weights", "training steps", "weight")
        _title(shares, f"Share of the batch (mean of {window} steps)", "training steps", "share")
        _title(
            waste,
            f"Zero-gradient groups (mean of {window} steps)",
            "training steps",
            "rate among generated",
        )
        for panel in panels:
            panel.set_ylim(-0.02, 1.02)
        figure.suptitle(
            f"simulated: {drawable(result.method)}, seed {result.seed}, {int(result.rollouts[-1]):,} rollouts; "
            f"at the end worst {result.worst_accuracy[-1]:.3f}, mean {result.mean_accuracy[-1]:.3f}"
        )
        _legend(figure, handles, [*result.tasks, "mean of tasks"])
        return finish(figure, *panels)


def comparison_figure(results: Sequence[SimulationResult]) -> Figure:
    """Worst-task accuracy of several runs, against steps and against rollouts; one colour per method."""
    with drawing():
        figure = Figure(figsize=(10, 4), layout="constrained")
        by_step, by_rollouts = figure.subplots(1, 2, sharey=True)
        methods = list(dict.fromkeys(result.method for result in results))
        shades, handles = colours(len(methods)), dict[str, Line2D]()
        for result in results:
            shade = shades[methods.index(result.method)]
            (handles[result.method],) = by_step.plot(
                np.arange(result.steps + 1), result.worst_accuracy, color=shade, lw=1.2
            )
            by_rollouts.plot(result.rollouts, result.worst_accuracy, color=shade, lw=1.2)
        _title(
            by_step,
            "Worst task against steps (simulated)",
            "training steps",
            "accuracy of the worst task",
        )
        _title(by_rollouts, "Worst task against cost", "rollouts (completions generated)", "")
        _legend(figure, list(handles.values()), list(handles))
        finish(figure, by_step)
        return finish(figure, by_rollouts, rollouts=True)


def tradeoff_figure(sweep: Sweep) -> Figure:
    """Mean against worst-task accuracy: a point per value of the parameter, joined in their order, with seeds."""
    with drawing():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes, rows = figure.subplots(), sweep.rows()
        mean = np.array([row["mean_accuracy"] for row in rows])
        worst = np.array([row["worst_accuracy"] for row in rows])
        axes.scatter(
            sweep.mean_accuracy, sweep.worst_accuracy, s=10, color=GREY, lw=0, label="one seed"
        )
        label = f"mean of {len(sweep.seeds)} seeds ± 1 std. error"
        errors = [[row[f"{key}_accuracy_se"] for row in rows] for key in ("mean", "worst")]
        axes.errorbar(
            mean,
            worst,
            errors[1],
            errors[0],
            color=BRIGHT[0],
            marker="o",
            ms=5,
            capsize=2,
            label=label,
        )
        axes.margins(0.12)
        _name_points(axes, mean, worst, [str(value) for value in sweep.values])
        title = f"{drawable(sweep.preset)}, varying {drawable(sweep.parameter)} (simulated)"
        _title(axes, title, "mean accuracy of the tasks", "accuracy of the worst task")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, borderaxespad=0)
        return figure


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
    width, height = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    named = list[tuple[float, float, list[str]]]()
    for a, b, name in zip(x.tolist(), y.tolist(), names, strict=True):
        near = next(
            (n for n in named if abs(n[0] - a) < 0.06 * width and abs(n[1] - b) < 0.04 * height),
            None,
        )
        if near is None:
            named.append((a, b, [name]))
        else:
            near[2].append(name)
    for a, b, together in named:
        axes.annotate(", ".join(together), (a, b), xytext=(9, -12), textcoords="offset points")


def save_outcome(outcome: SimulationOutcome, path: str | Path) -> Path:
    """Write the figure of ``mtgrpo simulate``: the trade-off of a sweep, the comparison of methods, or one run.

    Raises:
        ConfigError: The file name's ending is no image format.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{path}: {path.suffix or 'no ending'}; allowed: .png, .svg, .pdf")
    first = [runs[0] for runs in outcome.runs.values()]
    if outcome.sweep is not None:
        figure = tradeoff_figure(outcome.sweep)
    else:
        figure = comparison_figure(first) if len(first) > 1 else curves_figure(first[0])
    with drawing():  # the settings are read when text is drawn
        figure.savefig(path, dpi=150)
    return path

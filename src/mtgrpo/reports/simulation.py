"""Figures of simulations: one run's curves, methods side by side, and what a knob trades. Pure: data in, figure out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtgrpo.errors import ConfigError, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mtgrpo.simulation import SimulationResult, Sweep
    from mtgrpo.simulation.command import SimulationOutcome

# Okabe and Ito's colours, apart for every common kind of colour vision; black is kept for means.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999933", "#882255", "#44AA99")
LINES = ("-", "--", ":", "-.")


def curves_figure(result: SimulationResult) -> Figure:
    """One run in four panels: accuracy, weights, shares of the batch, and rollouts with zero-gradient groups."""
    figure = _figure(10, 7.2)
    axes = figure.subplots(2, 2)
    steps, names = np.arange(result.steps + 1), result.tasks
    accuracy, weights, shares, cost = axes.flat
    for k, name in enumerate(names):
        style = _style(k)
        accuracy.plot(steps, result.accuracy[:, k], label=name, **style)
        weights.plot(steps[1:], result.weights[:, k], **style)
        shares.plot(steps[1:], _smooth(result.realized[:, k]), **style)
        with np.errstate(invalid="ignore"):
            zero = 1 - result.informative[:, k] / result.generated[:, k]
        cost.plot(steps[1:], _smooth(zero), **style)
    accuracy.plot(steps, result.mean_accuracy, color="black", linewidth=2, label="mean")
    _label(accuracy, "True accuracy", "step", "accuracy")
    _label(weights, "Task weights", "step", "weight")
    _label(shares, "Share of the groups trained on (running mean)", "step", "share")
    _label(cost, "Zero-gradient groups among those generated (running mean)", "step", "rate")
    for panel in axes.flat:
        panel.set_ylim(-0.02, 1.02)
        panel.set_xlim(0, result.steps)
    figure.suptitle(
        f"{result.method}, seed {result.seed}: worst {result.worst_accuracy[-1]:.3f}, "
        f"mean {result.mean_accuracy[-1]:.3f}, {int(result.rollouts[-1]):,} rollouts (simulated)"
    )
    figure.legend(loc="outside lower center", ncols=min(5, len(names) + 1), frameon=False)
    return figure


def comparison_figure(results: Sequence[SimulationResult]) -> Figure:
    """Worst-task accuracy of several runs, against steps and against rollouts; one colour per method."""
    figure = _figure(10, 4.2)
    by_step, by_rollouts = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(result.method for result in results))
    named = set[str]()
    for result in results:
        style = _style(methods.index(result.method))
        label = None if result.method in named else result.method
        named.add(result.method)
        by_step.plot(np.arange(result.steps + 1), result.worst_accuracy, label=label, **style)
        by_rollouts.plot(result.rollouts / 1000, result.worst_accuracy, **style)
    _label(by_step, "", "step", "accuracy of the worst task")
    _label(by_rollouts, "", "thousand rollouts", "")
    figure.legend(loc="outside lower center", ncols=min(6, len(methods)), frameon=False)
    return figure


def tradeoff_figure(sweep: Sweep) -> Figure:
    """Mean against worst-task accuracy: a point per value of the parameter, joined in their order, with seeds."""
    figure = _figure(6, 4.6)
    axes = figure.subplots()
    rows = sweep.rows()
    mean, worst = [row["mean_accuracy"] for row in rows], [row["worst_accuracy"] for row in rows]
    axes.scatter(sweep.mean_accuracy, sweep.worst_accuracy, s=12, color="#BBBBBB", linewidths=0, label="one seed")
    axes.errorbar(
        mean,
        worst,
        xerr=[row["mean_accuracy_se"] for row in rows],
        yerr=[row["worst_accuracy_se"] for row in rows],
        color=COLORS[0],
        marker="o",
        capsize=2,
        label=f"mean of {len(sweep.seeds)} seeds, standard error",
    )
    for x, y, value in zip(mean, worst, sweep.values, strict=True):
        axes.annotate(str(value), (x, y), xytext=(5, 5), textcoords="offset points")
    _label(axes, f"{sweep.preset}: {sweep.parameter} (simulated)", "mean accuracy", "accuracy of the worst task")
    axes.legend(frameon=False, loc="best")
    return figure


def _figure(width: float, height: float) -> Figure:
    require("matplotlib", "report")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")  # no pyplot: no global state, no display


def _style(k: int) -> dict[str, str]:
    return {"color": COLORS[k % len(COLORS)], "linestyle": LINES[k // len(COLORS) % len(LINES)]}


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _smooth(values: np.ndarray, width: int = 9) -> np.ndarray:
    """Centred running mean over the known values; NaN where a whole window has none."""
    known = ~np.isnan(values)
    kernel = np.ones(min(width, len(values)))
    counts = np.convolve(known.astype(float), kernel, "same")
    sums = np.convolve(np.where(known, values, 0.0), kernel, "same")
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


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
    figure.savefig(path, dpi=150)
    return path

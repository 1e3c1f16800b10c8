"""Figures of a study: every method over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtgrpo.evidence import RunResult, StudyResults
from mtgrpo.reports.compare import Spread
from mtgrpo.reports.curves import Floats
from mtgrpo.reports.figures import Axes, Figure, comparison_figure
from mtgrpo.reports.style import INK, colours, drawable, drawing, finish, label_ends, new_axes

NUM_WEIGHT_PANELS = 9
SWEEPS = {"lam": "λ", "eta": "η"}
"""Arguments of a weighting whose values are joined by a line in the trade-off."""


def study_figures(results: StudyResults) -> list[tuple[str, Figure, str]]:
    """Identifier, figure and caption of every figure of a study's report."""
    found = [("final", final_figure(results), "Every run at its last evaluation: a dot per seed, a bar at their mean.")]
    for family, methods in method_families(results).items():
        for x, cost in (("steps", "training steps"), ("rollouts", "completions generated for training")):
            for of, what in (("worst", "Worst-task accuracy"), ("mean", "Mean accuracy")):
                spreads = [spread_of(method, results.of(method), of) for method in methods]
                caption = f"{what} over {cost}: {family}. Line: mean over seeds; band: lowest to highest."
                found.append((f"{of}-{x}-{family}".replace(" ", "-"), comparison_figure(spreads, x=x, of=of), caption))
    caption = (
        "Mean against worst-task accuracy at the end; bars: lowest to highest over seeds. Lines join the values of one "
        "parameter of one rule."
    )
    found.append(("trade-off", trade_off_figure(results), caption))
    found.append(("weights", panels_figure(results, "weight", "task weight"), "Task weights, mean over seeds."))
    caption = "Share of the groups trained on (line) and its target (dashed), mean over seeds."
    found.append(("shares", panels_figure(results, "realized_ratio", "share", dashed="target_ratio"), caption))
    caption = "Acceptance rate: informative groups / generated groups, mean over seeds."
    found.append(("acceptance", panels_figure(results, "acceptance_rate", "acceptance rate"), caption))
    return found


def method_families(results: StudyResults) -> dict[str, list[str]]:
    """Methods that are drawn together; the baseline stands in every family for comparison."""
    families: dict[str, list[str]] = {"baselines": [], "multi-task": [], "sequential": []}
    for method in results.finished_methods:
        preset = str(results.methods[method].get("preset", method))
        kind = "sequential" if preset.startswith("seq_") else "baselines" if is_baseline(preset) else "multi-task"
        families[kind].append(method)
    for members in families.values():
        if members and results.baseline not in members and results.of(results.baseline):
            members.insert(0, results.baseline)
    return {family: members for family, members in families.items() if members}


def is_baseline(preset: str) -> bool:
    """Whether a preset lacks the method's weights or its sampler."""
    return preset in ("grpo", "sec_grpo", "dapo", "sec_dapo", "grpo_iwu", "grpo_rps")


def spread_of(method: str, runs: Sequence[RunResult], of: str) -> Spread:
    """A method's curve over its seeds, at the evaluations all of them have."""
    common = sorted(set.intersection(*(set(run.steps.tolist()) for run in runs)))
    rows = [[run.steps.tolist().index(step) for step in common] for run in runs]
    values = np.array([(run.worst if of == "worst" else run.mean)[row] for run, row in zip(runs, rows, strict=True)])

    def cost(name: str) -> Floats:
        return np.mean([getattr(run, name)[row] for run, row in zip(runs, rows, strict=True)], axis=0)

    return Spread(
        label=method,
        num_runs=len(runs),
        steps=np.array(common),
        rollouts=cost("rollouts"),
        seconds=cost("seconds"),
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
    )


def final_figure(results: StudyResults) -> Figure:
    """Worst-task and mean accuracy of every method at the end, a dot per seed."""
    methods = results.finished_methods[::-1]
    with drawing():
        figure = Figure(figsize=(7.6, 0.8 + 0.26 * len(methods)), layout="constrained")
        panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
        for axes, of, title in zip(panels, ("worst", "mean"), ("worst task", "mean of tasks"), strict=True):
            for y, method in enumerate(methods):
                values = [100 * float(getattr(run, of)[-1]) for run in results.of(method)]
                colour = colours(2)[0] if method != results.baseline else colours(2)[1]
                axes.plot(values, [y] * len(values), "o", ms=3.5, color=colour, alpha=0.55, mew=0)
                axes.plot([np.mean(values)] * 2, [y - 0.3, y + 0.3], color=INK, lw=1.6)
            axes.set_xlabel(f"{title}: accuracy at the end (%)")
            axes.set_yticks(range(len(methods)), [drawable(method) for method in methods])
        return figure


def trade_off_figure(results: StudyResults) -> Figure:
    """Mean against worst-task accuracy at the end, one point per method."""
    with drawing():
        figure, axes = new_axes("Mean against worst-task accuracy at the end", "mean (%)", "worst task (%)")
        places: dict[str, tuple[float, float]] = {}
        for method in results.finished_methods:
            mean, worst = (np.array([100 * getattr(r, of)[-1] for r in results.of(method)]) for of in ("mean", "worst"))
            x, y = float(mean.mean()), float(worst.mean())
            places[method] = (x, y)
            axes.plot([mean.min(), mean.max()], [y, y], color="#BBBBBB", lw=0.8, zorder=1)
            axes.plot([x, x], [worst.min(), worst.max()], color="#BBBBBB", lw=0.8, zorder=1)
            axes.plot(x, y, "o", ms=4.5, color=INK, zorder=3)
        swept = list(_sweeps(results))
        for methods, colour in zip(swept, colours(max(1, len(swept))), strict=False):
            line = np.array([places[method] for method in methods])
            axes.plot(line[:, 0], line[:, 1], color=colour, lw=1.6, zorder=2)
        right = axes.get_xlim()[1]
        label_ends(axes, [(min(x, right), y, method, INK) for method, (x, y) in places.items()])
        return finish(figure, axes)


def panels_figure(results: StudyResults, name: str, label: str, *, dashed: str | None = None) -> Figure:
    """A metric of every task over the steps, a panel per method: mean over seeds.

    Args:
        results: Of the study.
        name: Metric of a task, such as ``weight``.
        label: Of the axis.
        dashed: Another metric, drawn dashed.
    """
    chosen = [m for m in results.finished_methods if not str(results.methods[m].get("preset", "")).startswith("seq_")]
    chosen = (chosen or results.finished_methods)[-NUM_WEIGHT_PANELS:]
    tasks = results.runs[0].tasks
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with drawing():
        figure = Figure(figsize=(2.6 * columns, 1.9 * rows + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(chosen) :]:
            axes.set_visible(False)
        for axes, method in zip(grid.flat, chosen, strict=False):
            runs = results.of(method)
            for task, colour in zip(tasks, colours(len(tasks)), strict=True):
                x, y = _mean_series(runs, f"task/{task}/{name}")
                axes.plot(x, y, color=colour, lw=1.5, label=drawable(task))
                if dashed:
                    axes.plot(*_mean_series(runs, f"task/{task}/{dashed}"), color=INK, lw=0.8, ls=(0, (3, 2)))
            axes.set_title(drawable(method), fontsize=8)
        grid[0, 0].set_ylim(0, None)  # shared; set last, or the first panel alone would decide the top
        figure.supylabel(label, fontsize=8)
        figure.supxlabel("training steps", fontsize=8)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), fontsize=7)
        return figure


def _mean_series(runs: Sequence[RunResult], name: str) -> tuple[Sequence[float], Sequence[float]]:
    kept = [run for run in runs if name in run.series]
    if not kept:
        return [], []
    length = min(len(run.series[name]) for run in kept)
    values = np.array([run.series[name][:length] for run in kept])
    known = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mean = np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0) / known)
    return kept[0].series["step"][:length].tolist(), mean.tolist()


def _sweeps(results: StudyResults) -> list[list[str]]:
    """Methods that differ in one swept value alone, in the order of the value."""
    groups: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for method in results.finished_methods:
        keys: Mapping[str, object] = results.methods[method]
        weighting = keys.get("weighting")
        for name in SWEEPS:
            if isinstance(weighting, Mapping) and name in weighting:
                group = (str(keys.get("preset")), str(keys.get("variant")), name)
                groups.setdefault(group, []).append((float(weighting[name]), method))
    return [[method for _, method in sorted(members)] for members in groups.values() if len(members) > 1]

"""The figure of many runs: an accuracy curve per method, with a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.errors import require
from mtgrpo.reports.compare import Spread

require("matplotlib", "report")

from matplotlib.figure import Figure  # noqa: E402

from mtgrpo.reports.labels import label_ends  # noqa: E402
from mtgrpo.reports.style import (  # noqa: E402
    INK,
    X_LABELS,
    axis_top,
    colours,
    drawing,
    finish,
    new_axes,
)

TITLES = {
    "worst": "Worst-task {measure}",
    "mean": "Mean {measure} over tasks",
    "change": "Relative change",
}
STYLES = ("-", (0, (4, 2)), (0, (1, 1.2)))
COLOURS_BEFORE_NEXT_STYLE = 9


def spread_figure(spreads: Sequence[Spread], *, x: str = "steps", of: str = "worst") -> Figure:
    """One accuracy curve per method: the mean over its seeds, and a band from minimum to maximum.

    Args:
        spreads: From `mtgrpo.reports.compare.spread_over_seeds`, made with the same `of`.
        x: ``"steps"``, ``"rollouts"`` or ``"seconds"``.
        of: What `spreads` holds, for title and axis: ``"worst"`` or ``"mean"`` accuracy, or
            ``"change"``, the relative change as a fraction.
    """
    is_score = any(spread.measure == "score" for spread in spreads)
    measure = "score" if is_score else "accuracy"

    title = TITLES[of].format(measure=measure)
    if any(spread.num_runs > 1 for spread in spreads):
        title += " (line: mean over seeds, band: min to max)"

    unit = "change (%)" if of == "change" else f"{measure} (%)"

    with drawing():
        figure, axes = new_axes(title, X_LABELS[x], unit)
        ends: list[tuple[float, float, str, str]] = []

        for i, (spread, colour) in enumerate(zip(spreads, colours(len(spreads)), strict=True)):
            if not len(spread.steps):
                continue

            cost = getattr(spread, x)
            low, mean, high = 100 * spread.low, 100 * spread.mean, 100 * spread.high
            style = STYLES[i // COLOURS_BEFORE_NEXT_STYLE % len(STYLES)]

            axes.fill_between(cost, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(cost, mean, color=colour, lw=1.8, ls=style, marker="o", ms=3)
            ends.append((float(cost[-1]), float(mean[-1]), spread.label, colour))

        if of == "change":
            axes.axhline(0, color=INK, lw=0.9, ls=":")
        else:
            axes.set_ylim(0, axis_top(*(100 * spread.high for spread in spreads)))

        label_ends(axes, ends)

        return finish(figure, axes, rollouts=x == "rollouts")

"""A line per task: of a few tasks each in its colour, of many only the worst and the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.errors import counted, require
from mtgrpo.reports.curves import Floats

require("matplotlib", "report")

from matplotlib.axes import Axes  # noqa: E402

from mtgrpo.reports.labels import LONGEST_LABEL, drawable, label_ends  # noqa: E402
from mtgrpo.reports.style import GREY, WORST, colours, legend  # noqa: E402

DIRECT_LABELS = 9
"""More tasks than this are drawn grey, the worst and the best apart."""
MOST_VECTOR_POINTS = 20_000
"""Grey lines of more points than this become pixels, or an SVG would not open."""


def draw_task_lines(
    axes: Axes,
    tasks: Sequence[str],
    x: Floats,
    values: Floats,
    ranking: Floats | None,
    *,
    width: float = 1.6,
    marker: str | None = None,
) -> list[str]:
    """Draw a line per task, labelled at its end.

    Args:
        axes: Where to draw.
        tasks: Task names, the columns.
        x: Shape (T,).
        values: Shape (T, K).
        ranking: Accuracies whose last row says which of many tasks are worst and best, shape
            (anything, K); None takes `values`.
        width: Line width of the tasks that are told apart.
        marker: Their marker.

    Returns:
        The colour of each task.
    """
    few = len(tasks) <= DIRECT_LABELS
    if few:
        shades = list(colours(len(tasks)))
        names = dict(enumerate(tasks))
    else:
        shades, names = _point_out(tasks, values if ranking is None else ranking)

    ends: list[tuple[float, float, str, str]] = []

    for k in range(len(tasks)):
        if k in names:
            axes.plot(x, values[:, k], color=shades[k], lw=width, marker=marker, ms=3, zorder=2.5)
        else:
            as_pixels = values.size > MOST_VECTOR_POINTS
            axes.plot(
                x, values[:, k], color=shades[k], lw=0.7, alpha=0.6, zorder=1, rasterized=as_pixels
            )

        known = np.flatnonzero(~np.isnan(values[:, k]))
        if k in names and known.size:
            last = known[-1]
            ends.append((float(x[last]), float(values[last, k]), names[k], shades[k]))

    label_ends(axes, ends)

    if not few:
        axes.plot([], [], color=GREY, lw=1, label=counted(len(tasks) - len(names), "other task"))
        legend(axes)

    return shades


def _point_out(tasks: Sequence[str], ranking: Floats) -> tuple[list[str], dict[int, str]]:
    """Colours, and names by column, of many tasks: all grey but the worst and the best."""
    worst, best = _extremes(ranking)
    shades = [GREY] * len(tasks)
    names: dict[int, str] = {}

    for column, colour, note in ((best, colours(1)[0], "best"), (worst, WORST, "worst")):
        if column is not None:
            shades[column] = colour
            names[column] = f"{drawable(tasks[column], LONGEST_LABEL - 8)} ({note})"

    return shades, names


def _extremes(ranking: Floats) -> tuple[int | None, int | None]:
    """Columns of the lowest and the highest value of the last row that has any."""
    rows = [row for row in ranking if not np.isnan(row).all()]
    if not rows:
        return None, None

    return int(np.nanargmin(rows[-1])), int(np.nanargmax(rows[-1]))

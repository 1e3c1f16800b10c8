"""How every figure looks: colours that the colour-blind tell apart, text drawn as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtgrpo.errors import require
from mtgrpo.reports.curves import Floats

require("matplotlib", "report")

import matplotlib as mpl  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: E402

from mtgrpo.reports.labels import spread_labels  # noqa: E402

# Paul Tol's qualitative schemes "bright" (without grey) and "muted", https://sronpersonalpages.nl/~pault/
BRIGHT = ("#4477AA", "#EE6677", "#228833", "#B8A000", "#AA3377", "#2FA4C7")
MUTED = (
    "#332288", "#CC6677", "#117733", "#B59B00", "#88CCEE", "#882255", "#44AA99", "#999933",
    "#AA4499",
)  # fmt: skip
INK = "#222222"
GREY = "#B0B0B0"
WORST = "#C4003C"
FONT_SIZE = 9.0
X_LABELS = {
    "steps": "training steps",
    "rollouts": "rollouts (completions generated)",
    "seconds": "seconds of training",
}
SETTINGS: dict[Any, Any] = {
    "text.usetex": False,
    "text.parse_math": False,  # a task may be called $x_1$
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure everywhere
    "font.size": FONT_SIZE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "svg.fonttype": "path",  # looks the same without the font
    "svg.hashsalt": "mtgrpo",  # the same run gives the same file
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The house's settings while a figure is drawn or saved; the caller's own stay as they are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in SETTINGS.items():
            mpl.rcParams[key] = value
        yield


def new_axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """A figure of one panel, wide enough for labels at the right."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)

    return figure, axes


def finish(figure: Figure, *panels: Axes, rollouts: bool = False) -> Figure:
    """Whole numbers of steps, ``20k`` for rollouts, and a note where there is nothing to draw."""
    for axes in panels:
        spread_labels(axes)

        if rollouts:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))

        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))

        low, high = axes.get_xlim()
        if high - low < 1:  # a single evaluation: no ticks at fractions of a step
            axes.set_xlim((low + high) / 2 - 0.5, (low + high) / 2 + 0.5)

        has_line = any(len(line.get_xdata()) for line in axes.lines)  # type: ignore[arg-type]
        if not has_line and not axes.collections:
            place = {"transform": axes.transAxes, "ha": "center"}
            axes.text(0.5, 0.5, "nothing was logged", color="#555555", **place)

    return figure


def axis_top(*values: Floats, most: float = 100.0) -> float:
    """Upper end of an axis that starts at 0: a little above the highest value, at most `most`."""
    highest = 0.0
    for array in values:
        known = array[~np.isnan(array)]
        highest = max(highest, float(known.max(initial=0.0)))

    if highest <= 0:
        return 1.0

    return min(most * 1.02, highest * 1.08)


def legend(axes: Axes) -> None:
    """A legend of the lines that are not tasks, under the axes where it covers nothing."""
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.16), ncols=4, borderaxespad=0, handlelength=2.4
    )


def colours(count: int) -> Sequence[str]:
    """A colour for each of `count` lines; they repeat after nine."""
    base = BRIGHT if count <= len(BRIGHT) else MUTED
    return [base[i % len(base)] for i in range(count)]

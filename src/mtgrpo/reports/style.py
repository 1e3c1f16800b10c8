"""How every figure looks: colours that the colour-blind tell apart, labels at the lines, text drawn as it is."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

from mtgrpo.errors import require

require("matplotlib", "report")

import matplotlib as mpl  # noqa: E402
from matplotlib import font_manager  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.text import Annotation  # noqa: E402
from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: E402

# Paul Tol's qualitative schemes "bright" (without grey) and "muted", https://sronpersonalpages.nl/~pault/
BRIGHT = ("#4477AA", "#EE6677", "#228833", "#B8A000", "#AA3377", "#2FA4C7")
MUTED = (
    "#332288",
    "#CC6677",
    "#117733",
    "#B59B00",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
)
INK, GREY, WORST = "#222222", "#B0B0B0", "#C4003C"
FONT_SIZE = 9.0
LABEL, LABEL_SIZE, LONGEST_LABEL = "line-label", 8.0, 26
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
    """The house's settings, for as long as a figure is drawn or saved; the caller's own stay as they are."""
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
        _spread_labels(axes)
        if rollouts:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        low, high = axes.get_xlim()
        if high - low < 1:  # a single evaluation: no ticks at fractions of a step
            axes.set_xlim((low + high) / 2 - 0.5, (low + high) / 2 + 0.5)
        if not any(len(line.get_xdata()) for line in axes.lines) and not axes.collections:  # type: ignore[arg-type]
            axes.text(
                0.5,
                0.5,
                "nothing was logged",
                transform=axes.transAxes,
                ha="center",
                color="#555555",
            )
    return figure


def legend(axes: Axes) -> None:
    """A legend of the lines that are not tasks, under the axes where it covers nothing."""
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.16), ncols=4, borderaxespad=0, handlelength=2.4
    )


def colours(count: int) -> Sequence[str]:
    """A colour for each of `count` lines; they repeat after nine."""
    base = BRIGHT if count <= len(BRIGHT) else MUTED
    return [base[i % len(base)] for i in range(count)]


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names at the right of the axes, each at its line's end; `finish` moves them apart.

    Args:
        axes: Where the lines are.
        ends: Last x, last y, name and colour of each line.
    """
    for x, y, name, colour in ends:
        axes.annotate(
            drawable(name), (x, y), xycoords="data", xytext=(1.03, y), textcoords=("axes fraction", "data"),
            color=colour, va="center", fontsize=LABEL_SIZE, annotation_clip=False, gid=LABEL,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6, "shrinkA": 0, "shrinkB": 2,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _spread_labels(axes: Axes) -> None:
    """Move the labels of `label_ends` apart, each as near to its line as the others let it."""
    labels = [
        text for text in axes.texts if text.get_gid() == LABEL and isinstance(text, Annotation)
    ]
    bottom, top = axes.get_ylim()
    height_pt = (
        cast(Figure, axes.figure).get_figheight() * 72 * 0.7
    )  # of the axes; the rest is title and labels
    gap = (top - bottom) * LABEL_SIZE * 1.35 / height_pt
    wanted = [(float(label.xy[1]), label) for label in labels]
    wanted.sort(key=lambda pair: pair[0])
    for y, label in zip(
        spread([y for y, _ in wanted], gap, bottom, top), (x for _, x in wanted), strict=True
    ):
        label.set_position((1.03, y))


def spread(places: Sequence[float], gap: float, bottom: float, top: float) -> list[float]:
    """Sorted places moved as little as needed to be `gap` apart, within bottom and top if they fit at all."""
    blocks: list[list[float]] = []  # centre and number of labels of each block of touching labels
    half = gap / 2
    for place in places:
        blocks.append([min(max(place, bottom + half), top - half), 1])
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < half * (
            blocks[-1][1] + blocks[-2][1]
        ):
            (a, n), (b, m) = blocks[-2], blocks.pop()
            centre, reach = (a * n + b * m) / (n + m), half * (n + m)
            blocks[-1] = [max(min(centre, top - reach), bottom + reach), n + m]
    return [centre + gap * (i - (n - 1) / 2) for centre, n in blocks for i in range(int(n))]


def drawable(name: str, longest: int = LONGEST_LABEL) -> str:
    """A name on one line, shortened in the middle, with a box for every character the font cannot draw."""
    known = _characters()
    text = "".join(
        c if ord(c) in known and unicodedata.category(c)[0] != "C" else "\u25a1" for c in name
    )
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())

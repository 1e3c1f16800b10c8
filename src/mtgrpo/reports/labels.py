"""Names at the ends of lines, moved apart, and drawn as they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from mtgrpo.errors import require

require("matplotlib", "report")

from matplotlib import font_manager  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.text import Annotation  # noqa: E402

LABEL = "line-label"
LABEL_SIZE = 8.0
LONGEST_LABEL = 26


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names at the right of the axes, each at its line's end; `finish` moves them apart.

    Args:
        axes: Axes of the lines.
        ends: Last x, last y, name and colour of each line.
    """
    for x, y, name, colour in ends:
        leader = {
            "arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6,
            "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5),
        }  # fmt: skip

        axes.annotate(
            drawable(name), (x, y), xycoords="data",
            xytext=(1.03, y), textcoords=("axes fraction", "data"),
            color=colour, va="center", fontsize=LABEL_SIZE,
            annotation_clip=False, gid=LABEL, arrowprops=leader,
        )  # fmt: skip


def spread_labels(axes: Axes) -> None:
    """Move the labels of `label_ends` apart, each as near to its line as the others let it."""
    labels: list[Annotation] = []
    for text in axes.texts:
        if text.get_gid() == LABEL and isinstance(text, Annotation):
            labels.append(text)

    labels.sort(key=lambda label: float(label.xy[1]))
    wanted = [float(label.xy[1]) for label in labels]

    bottom, top = axes.get_ylim()
    # of the axes alone: the rest is title and labels
    height_pt = cast(Figure, axes.figure).get_figheight() * 72 * 0.7
    gap = (top - bottom) * LABEL_SIZE * 1.35 / height_pt

    for label, y in zip(labels, spread(wanted, gap, bottom, top), strict=True):
        label.set_position((1.03, y))


def spread(places: Sequence[float], gap: float, bottom: float, top: float) -> list[float]:
    """Sorted places moved as little as needed to be `gap` apart, within the ends if they fit."""
    blocks: list[list[float]] = []  # centre and number of labels of each block of touching labels
    half = gap / 2

    for place in places:
        blocks.append([min(max(place, bottom + half), top - half), 1])

        while len(blocks) > 1:
            (a, n), (b, m) = blocks[-2], blocks[-1]
            reach = half * (n + m)
            if b - a >= reach:
                break

            blocks.pop()
            centre = (a * n + b * m) / (n + m)
            blocks[-1] = [max(min(centre, top - reach), bottom + reach), n + m]

    return [centre + gap * (i - (n - 1) / 2) for centre, n in blocks for i in range(int(n))]


def drawable(name: str, longest: int = LONGEST_LABEL) -> str:
    """A name on one line, shortened in the middle; a box stands for what the font cannot draw."""
    known = _characters()
    text = ""
    for char in name:
        can_be_drawn = ord(char) in known and unicodedata.category(char)[0] != "C"
        text += char if can_be_drawn else "\u25a1"

    if len(text) <= longest:
        return text

    head = (longest - 1) * 2 // 3
    tail = longest - 1 - head

    return f"{text[:head]}…{text[len(text) - tail :]}"


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())

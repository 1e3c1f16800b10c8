"""Mermaid's flowcharts of names and arrows as SVG: the site loads no script to draw them."""

from __future__ import annotations

import html
import re

BLOCK = re.compile(r"^```mermaid\nflowchart TD\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
ARROW = re.compile(r"\s*(\w+) --> (\w+(?: & \w+)*)\s*")

WIDTH, ROW, BOX, LETTER, ASIDE = 760, 64, 26, 8.2, 28
"""Of the picture, between rows, of a box's height, of a letter, of a row's shift; in pixels."""


def drawn(markdown: str) -> str:
    """The page with its flowcharts drawn."""
    return BLOCK.sub(lambda block: svg(arrows(block[1])), markdown)


def arrows(text: str) -> list[tuple[str, str]]:
    """From and to of each arrow.

    Raises:
        ValueError: A line is none of ``a --> b & c``.
    """
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines():
        match = ARROW.fullmatch(line)
        if match is None:
            raise ValueError(f"flowchart: {line!r} is no line such as 'a --> b & c'")
        pairs += [(match[1], target) for target in match[2].split(" & ")]
    return pairs


def svg(pairs: list[tuple[str, str]]) -> str:
    """The picture: an arrow leads from a row to a lower one."""
    rows = _rows(pairs)
    places: dict[str, tuple[float, float]] = {}
    for i, names in enumerate(rows):
        for j, name in enumerate(names):
            # Aside by turns: a long arrow straight down would hide behind the names between.
            aside = ASIDE if i % 2 else -ASIDE
            places[name] = (WIDTH * (j + 0.5) / len(names) + aside, ROW * (i + 0.5))

    parts: list[str] = []
    for start, end in pairs:
        (x0, y0), (x1, y1) = places[start], places[end]
        y0, y1 = y0 + BOX / 2, y1 - BOX / 2 - 5
        bend = (y1 - y0) / 2
        parts.append(
            f'<path d="M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} '
            f'{x1:.0f} {y1:.0f}" fill="none" stroke="currentColor" stroke-opacity=".45" '
            'marker-end="url(#tip)"/>'
        )

    for name, (x, y) in places.items():
        width = LETTER * len(name) + 18
        parts.append(
            f'<rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" '
            f'height="{BOX}" rx="5" fill="var(--md-default-bg-color, white)" '
            'stroke="currentColor"/>'
            f'<text x="{x:.0f}" y="{y + 4.5:.0f}" text-anchor="middle" fill="currentColor" '
            f'font-family="monospace" font-size="13">{html.escape(name)}</text>'
        )

    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker>'
        "</defs>"
    )
    head = f'<svg viewBox="0 0 {WIDTH} {ROW * len(rows)}" role="img" xmlns="http://www.w3.org/2000/svg">'
    return head + tip + "".join(parts) + "</svg>"


def _rows(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Names by row, the first at the top; in a row, below what leads there."""
    targets: dict[str, list[str]] = {}
    for start, end in pairs:
        targets.setdefault(start, []).append(end)
        targets.setdefault(end, [])

    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            heights[name] = 1 + max((height(end) for end in targets[name]), default=-1)
        return heights[name]

    rows: list[list[str]] = [[] for _ in range(1 + max(map(height, targets)))]
    for name in targets:
        rows[-1 - heights[name]].append(name)

    middle: dict[str, float] = {}
    for names in rows:
        for name in names:
            above = [middle[start] for start, end in pairs if end == name]
            middle[name] = sum(above) / len(above) if above else 1.0
        names.sort(key=lambda name: middle[name])
        for j, name in enumerate(names):
            middle[name] = (j + 0.5) / len(names)
    return rows

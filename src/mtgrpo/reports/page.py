"""Building blocks of a self-contained HTML page.

All text is escaped here; nothing in a page runs or loads anything.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtgrpo.reports.page_style import MARK, POLICY, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = "–"
CERTAIN = 2.0
"""Standard errors beyond which a change is in colour."""
_MISLEADING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control and direction characters, lone surrogates, and separators that start a new line."""
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Marks and letters that nobody sees: two names could look alike."""
_NOT_DRAWN = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)


def text(value: object) -> str:
    """Any text, made safe: markup escaped, and misleading characters made visible."""
    return html.escape("".join(map(_visible, str(value))), quote=True)


def name(value: object) -> str:
    """A name within a sentence or a cell: safe, and isolated from the direction of its context."""
    return f"<bdi>{text(value)}</bdi>"


def pre(value: str, most: int = 6000) -> str:
    """Preformatted text; its middle is left out when it is longer than `most` characters."""
    if len(value) > most:
        left_out = f"\n[... {len(value) - most:,} characters left out ...]\n"
        value = value[: most // 2] + left_out + value[len(value) - most // 2 :]

    return f"<pre>{text(value)}</pre>"


def section(title: str, *parts: str) -> str:
    """A heading with what belongs to it; nothing when there is nothing."""
    body = "\n".join(part for part in parts if part)
    if not body:
        return ""

    return f"<h2>{text(title)}</h2>\n{body}"


def notice(message: str) -> str:
    """A paragraph that has to be seen."""
    return f'<p class="notice">{text(message)}</p>'


def paragraph(message: str) -> str:
    """Plain explanation."""
    return f'<p class="soft">{text(message)}</p>'


def cards(items: Sequence[tuple[str, str, str]]) -> str:
    """Figures to see first: title, value, remark."""
    cells = ""
    for title, value, remark in items:
        cells += (
            f'<div class="card"><span>{text(title)}</span><b>{text(value)}</b>'
            f"<span>{text(remark)}</span></div>"
        )

    return f'<div class="cards">{cells}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, totals: int = 0) -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        heads: Column titles.
        rows: Cells that are HTML already (`text`, `name`, `signed`, `percent`).
        totals: How many of the last rows are set off.
    """
    head = "".join(f"<th>{text(cell)}</th>" for cell in heads)

    lines = ""
    for i, row in enumerate(rows):
        kind = " class=total" if i >= len(rows) - totals else ""
        cells = "".join(f"<td>{cell}</td>" for cell in row)
        lines += f"<tr{kind}>{cells}</tr>"

    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def details(summary: str, *parts: str, is_open: bool = False) -> str:
    """A part that unfolds; `summary` and `parts` are HTML."""
    attribute = " open" if is_open else ""
    return f"<details{attribute}><summary>{summary}</summary>{''.join(parts)}</details>"


def figure_grid(figures: Sequence[tuple[str, Figure, str]]) -> str:
    """Inline SVG figures: identifier, figure, caption."""
    if not figures:
        return ""

    cells = ""
    for ident, figure, caption in figures:
        cells += (
            f'<figure class="figure"><div class="scroll">{inline_svg(figure, ident, caption)}</div>'
            f"<figcaption>{text(caption)}</figcaption></figure>"
        )

    return f'<div class="figures">{cells}</div>'


def inline_svg(figure: Figure, ident: str, label: str) -> str:
    """A figure as an ``<svg>`` element whose identifiers cannot clash with another figure's.

    Comments and metadata, the only places where matplotlib keeps drawn text as text, are left out.
    """
    from mtgrpo.reports.figure_files import svg_text

    svg = svg_text(figure)
    svg = _NOT_DRAWN.sub("", svg[svg.index("<svg") :])

    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to groups
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{ident}-", svg)
    svg = re.sub(r"\n\s*", "\n", svg)

    return svg.replace("<svg ", f'<svg role="img" aria-label="{text(label)}" ', 1).rstrip()


def percent(value: float, error: float = float("nan")) -> str:
    """``0.123`` as ``12.3``, with ``± 1.0`` when there is an error; a dash for NaN."""
    if value != value:
        return MISSING

    shown = f"{100 * value:.1f}"
    if error == error:
        shown += f" ± {100 * error:.1f}"

    return shown


def signed(value: float, error: float = float("nan"), *, scale: float = 100.0) -> str:
    """A change, in colour where it is beyond its error: twice the standard error, if one is known.

    Without an error it has no colour: nobody knows whether it is more than noise. A dash for NaN.
    """
    if value != value:
        return MISSING

    shown = f"{scale * value:+.1f}"
    if error == error:
        shown += f" ± {scale * error:.1f}"

    if not abs(value) > CERTAIN * error:
        return shown

    kind = "good" if value > 0 else "bad"
    return f'<span class="{kind}">{shown}</span>'


def number(value: float, digits: int = 0) -> str:
    """``12,345``; a dash for NaN."""
    if value != value:
        return MISSING

    return f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """``1 h 05 min``; a dash for NaN."""
    if seconds != seconds:
        return MISSING

    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"

    return f"{minutes // 60} h {minutes % 60:02d} min"


def page(title: str, body: str, *, refresh_s: int = 0) -> str:
    """A whole document.

    Args:
        title: Title of the window.
        body: HTML.
        refresh_s: Seconds after which a browser reads the file again; 0 for never.
    """
    refresh = f'\n<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{MARK}
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">{refresh}
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _visible(char: str) -> str:
    """A character as it is, or what stands for a control or direction character."""
    if char in "\n\t" or char == "\u200d":  # the joiner holds emoji together
        return char
    if char < " ":
        return chr(0x2400 + ord(char))
    if char == "\x7f":
        return "\u2421"
    if unicodedata.category(char) in _MISLEADING or char in _BLANK:
        return f"[U+{ord(char):04X}]"

    return char

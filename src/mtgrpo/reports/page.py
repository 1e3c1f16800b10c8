"""Building blocks of a self-contained HTML page. All text is escaped here; nothing in a page runs or loads anything."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5c6370; --line: #dfe2e7; --back: #ffffff; --card: #f6f7f9;
  --good: #116633; --bad: #b3123c; --accent: #2f6299; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3a9b3; --line: #3a3f47; --back: #16181c;
  --card: #1f2227; --good: #6fcf97; --bad: #ff8fa3; --accent: #8fbbe8; }
  .figure svg { filter: invert(0.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 1.2rem 1rem 4rem; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.2rem 0 0.3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.7rem; padding-top: 0.9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 0.4rem; }
p { margin: 0.4rem 0; max-width: 48rem; } .soft { color: var(--soft); font-size: 0.9rem; }
.notice { border-left: 4px solid var(--bad); background: var(--card); padding: 0.6rem 0.9rem; margin: 0.8rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0.7rem; margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.7rem 0.9rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { display: block; color: var(--soft); font-size: 0.85rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); gap: 1rem; }
.figure { margin: 0; min-width: 0; } .figure .scroll { background: transparent; }
.figure svg { display: block; width: 100%; min-width: 28rem; height: auto; border-radius: 6px; }
.figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption { color: var(--soft); font-size: 0.88rem; margin-top: 0.3rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  overflow-wrap: normal; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 11rem; max-width: 24rem;
  overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } .total td { font-weight: 600; }
details { border: 1px solid var(--line); border-radius: 8px; margin: 0.5rem 0; padding: 0 0.9rem; }
summary { cursor: pointer; padding: 0.5rem 0; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 0.6rem 0.8rem;
  margin: 0.4rem 0 0.9rem; font: 0.82rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30rem; overflow: auto; unicode-bidi: isolate; }
.tag { font-size: 0.8rem; font-weight: 600; } bdi { unicode-bidi: isolate; }
"""
MISSING = "–"


def text(value: object) -> str:
    """Any text, made safe: markup escaped; control and direction characters, which can mislead, made visible."""
    return html.escape("".join(c if c in "\n\t" else _visible(c) for c in str(value)), quote=True)


def name(value: object) -> str:
    """A name within a sentence or a cell: safe, and isolated from the direction of the text around it."""
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
    return f"<h2>{text(title)}</h2>\n{body}" if body else ""


def notice(message: str) -> str:
    """A paragraph that has to be seen."""
    return f'<p class="notice">{text(message)}</p>'


def paragraph(message: str) -> str:
    """Plain explanation."""
    return f'<p class="soft">{text(message)}</p>'


def cards(items: Sequence[tuple[str, str, str]]) -> str:
    """Figures to see first: title, value, remark."""
    cells = (
        f'<div class="card"><span>{text(title)}</span><b>{text(value)}</b><span>{text(remark)}</span></div>'
        for title, value, remark in items
    )
    return f'<div class="cards">{"".join(cells)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, totals: int = 0) -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        heads: Column titles.
        rows: Cells that are HTML already (`text`, `name`, `signed`, `percent`).
        totals: How many of the last rows are set off.
    """
    head = "".join(f"<th>{text(cell)}</th>" for cell in heads)
    lines = [
        f"<tr{' class=total' if i >= len(rows) - totals else ''}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for i, row in enumerate(rows)
    ]
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def details(summary: str, *parts: str, is_open: bool = False) -> str:
    """A part that unfolds; `summary` and `parts` are HTML."""
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary>{''.join(parts)}</details>"


def figure_grid(figures: Sequence[tuple[str, Figure, str]]) -> str:
    """Inline SVG figures: identifier, figure, caption."""
    cells = (
        f'<figure class="figure"><div class="scroll">{inline_svg(figure, ident, caption)}</div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
        for ident, figure, caption in figures
    )
    return f'<div class="figures">{"".join(cells)}</div>' if figures else ""


def inline_svg(figure: Figure, ident: str, label: str) -> str:
    """A figure as an ``<svg>`` element whose identifiers cannot clash with another figure's.

    Comments and metadata, the only places where matplotlib keeps drawn text as text, are left out.
    """
    from mtgrpo.reports.figures import svg_text

    svg = svg_text(figure)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to groups
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{ident}-", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{text(label)}" ', 1).rstrip()


def percent(value: float, error: float = float("nan")) -> str:
    """``0.123`` as ``12.3``, with ``± 1.0`` when there is an error; a dash for NaN."""
    if value != value:
        return MISSING
    return f"{100 * value:.1f}" + (f" ± {100 * error:.1f}" if error == error else "")


def signed(value: float, error: float = float("nan"), *, scale: float = 100.0) -> str:
    """A change, in colour; a dash for NaN."""
    if value != value:
        return MISSING
    shown = f"{scale * value:+.1f}" + (f" ± {scale * error:.1f}" if error == error else "")
    return f'<span class="{"good" if value > 0 else "bad" if value < 0 else ""}">{shown}</span>'


def number(value: float, digits: int = 0) -> str:
    """``12,345``; a dash for NaN."""
    return MISSING if value != value else f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """``1 h 05 min``; a dash for NaN."""
    if seconds != seconds:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 60
        else f"{minutes} min {rest:02d} s"
    )


def page(title: str, body: str) -> str:
    """A whole document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _visible(char: str) -> str:
    if char < " " or char == "\x7f":
        return chr(0x2400 + ord(char)) if char < " " else "\u2421"
    return (
        f"[U+{ord(char):04X}]"
        if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\u200d"
        else char
    )

r"""ARC-1D, compact: see what one example does to a row of colours, do it to another row.

``arc:..rr.>...rr;g....>?`` is answered by ``\boxed{.g...}``. One example shows the rule; a problem
is only drawn when every rule of `RULES` that explains the example gives the same answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import MappingProxyType

from mtgrpo.tasks.tiny.problem import Problem

LENGTHS = {"easy": 5, "medium": 7, "hard": 9}
"""How many cells a row has at each level."""
EMPTY = "."
COLOURS = "rgby"
FLOORS = {"easy": 0.0, "medium": 0.0, "hard": 0.0}


def shift(row: str, by: int) -> str:
    """Everything moves right by this many cells (left when negative), in a circle."""
    return row[-by:] + row[:-by]


def gravity(row: str, right: bool) -> str:
    """Every coloured cell falls to one end and keeps its order."""
    cells = row.replace(EMPTY, "")
    room = EMPTY * (len(row) - len(cells))
    return room + cells if right else cells + room


def mirror(row: str) -> str:
    """The row is read backwards."""
    return row[::-1]


def fill(row: str) -> str:
    """The gap between the first and the last coloured cell takes the colour on its left."""
    first, last = _ends(row)
    cells = list(row)

    for i in range(first, last):
        if cells[i] == EMPTY:
            cells[i] = cells[i - 1]
    return "".join(cells)


def hollow(row: str) -> str:
    """Only the first and the last coloured cell stay."""
    first, last = _ends(row)
    return "".join(cell if i in (first, last) else EMPTY for i, cell in enumerate(row))


def denoise(row: str) -> str:
    """Coloured cells with no neighbour of their colour disappear."""
    padded = f"{EMPTY}{row}{EMPTY}"
    return "".join(
        cell if cell in (padded[i], padded[i + 2]) else EMPTY for i, cell in enumerate(row)
    )


def recolour(row: str, colour: str) -> str:
    """Every coloured cell takes one colour."""
    return "".join(cell if cell == EMPTY else colour for cell in row)


def swap(row: str, pair: str) -> str:
    """Two colours trade places."""
    return row.translate(str.maketrans(pair, pair[::-1]))


def _ends(row: str) -> tuple[int, int]:
    """Positions of the first and the last coloured cell; -1 and -1 for an empty row."""
    coloured = [i for i, cell in enumerate(row) if cell != EMPTY]
    return (coloured[0], coloured[-1]) if coloured else (-1, -1)


def _rules() -> dict[str, Callable[[str], str]]:
    rules: dict[str, Callable[[str], str]] = {
        "shift+1": lambda row: shift(row, 1),
        "shift-1": lambda row: shift(row, -1),
        "shift+2": lambda row: shift(row, 2),
        "shift-2": lambda row: shift(row, -2),
        "gravity-left": lambda row: gravity(row, right=False),
        "gravity-right": lambda row: gravity(row, right=True),
        "mirror": mirror,
        "fill": fill,
        "hollow": hollow,
        "denoise": denoise,
    }

    for colour in COLOURS:
        rules[f"recolour-{colour}"] = lambda row, colour=colour: recolour(row, colour)

    for i, first in enumerate(COLOURS):
        for second in COLOURS[i + 1 :]:
            pair = first + second
            rules[f"swap-{pair}"] = lambda row, pair=pair: swap(row, pair)
    return rules


RULES = MappingProxyType(_rules())
"""Every rule, by name; the part of the name before ``-`` or ``+`` is its kind."""
KINDS = tuple(dict.fromkeys(name.replace("+", "-").partition("-")[0] for name in RULES))
_OF_KIND = {kind: tuple(name for name in RULES if name.startswith(kind)) for kind in KINDS}


def make(level: str, rng: random.Random) -> Problem:
    """Draw a problem: a kind of rule, a rule, then rows that tell it from all the others."""
    length = LENGTHS[level]
    kind = rng.choice(KINDS)
    rule = RULES[rng.choice(_OF_KIND[kind])]

    while True:
        shown, asked = _row(length, rng), _row(length, rng)
        seen, answer = rule(shown), rule(asked)
        if seen == shown or answer == asked or shown == asked:
            continue

        explanations = [other for other in RULES.values() if other(shown) == seen]
        if all(other(asked) == answer for other in explanations):
            break

    return Problem(
        prompt=f"arc:{shown}>{seen};{asked}>?",
        answer=answer,
        key=f"{level}:{shown}>{asked}>{answer}",
        kind=kind,
    )


def _row(length: int, rng: random.Random) -> str:
    """A row of one to three blocks of one to four cells, at least one cell coloured."""
    cells = [EMPTY] * length
    for _ in range(rng.choice((1, 2, 2, 3))):
        size = rng.choice((1, 1, 2, 2, 3, 4))
        start = rng.randrange(length)
        colour = rng.choice(COLOURS)

        for i in range(start, min(start + size, length)):
            cells[i] = colour
    return "".join(cells)

"""Draws the pictures of docs/how-it-works.md: one batch of the real mixer, and the way to the loss.

python tools/pictures.py
"""

from __future__ import annotations

import random
from pathlib import Path

from mtgrpo import Fixed, Group, RatioPreservingSampler, TaskMixer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WEIGHTS = {"hard": 0.5, "middle": 0.3, "easy": 0.2}
ACCEPTED = {"hard": 0.4, "middle": 0.6, "easy": 0.5}
COLOURS = {"hard": "#b4443f", "middle": "#3b6ea8", "easy": "#4b8b5a"}
INK, PALE = "#26303a", "#8a949e"
SIZE, GAP = 13, 4


def text(
    x: float, y: float, words: str, *, size: int = 14, colour: str = INK, more: str = ""
) -> str:
    """A line of text."""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" {more}>{words}</text>'


def square(x: float, y: float, colour: str, *, filled: bool) -> str:
    """A group: filled where it has a gradient."""
    fill = colour if filled else "none"
    return (
        f'<rect x="{x}" y="{y}" width="{SIZE}" height="{SIZE}" rx="2" fill="{fill}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def page(width: int, height: int, label: str, parts: list[str]) -> str:
    """A whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{label}" font-family="system-ui, sans-serif">'
    )
    ground = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def play() -> tuple[dict[str, int], list[dict[str, list[bool]]], dict[str, int]]:
    """Quotas, what came back in each round (informative or not), and what is trained on."""
    sampler = RatioPreservingSampler()
    mixer = TaskMixer(
        list(WEIGHTS), batch_size=16, weighting=Fixed(WEIGHTS), sampler=sampler, seed=0
    )
    dice, rounds = random.Random(7), []

    batch = mixer.new_batch()
    while request := batch.ask():
        came = {
            task: [dice.random() < ACCEPTED[task] for _ in range(n)] for task, n in request.items()
        }
        rounds.append(came)
        batch.tell(
            Group.verified(task, (1.0, 0.0) if informative else (0.0, 0.0))
            for task, outcomes in came.items()
            for informative in outcomes
        )

    trained = {task: sum(group.task == task for group in batch.groups) for task in WEIGHTS}
    return dict(batch.quotas), rounds, trained


def one_batch() -> str:
    """What each round brought, task by task, and what is trained on."""
    quotas, rounds, trained = play()
    parts: list[str] = []
    columns = [20, 118, 210, *(365 + 100 * i for i in range(len(rounds) - 1))]
    last = columns[-1] + 105
    heads = ["task", "weight", "round 1", *(f"round {i + 2}" for i in range(len(rounds) - 1))]
    for x, head in zip([*columns, last], [*heads, "trained on"], strict=True):
        parts.append(text(x, 30, head, size=13, colour=PALE))

    for row, task in enumerate(WEIGHTS):
        y, colour = 52 + 78 * row, COLOURS[task]
        parts.append(text(20, y + 14, task, colour=colour, more='font-weight="600"'))
        parts.append(text(118, y + 14, f"{WEIGHTS[task]:.1f}"))
        parts.append(text(118, y + 34, f"{quotas[task]} of 16", size=12, colour=PALE))

        for x, came in zip(columns[2:], rounds, strict=True):
            parts += _squares(x, y, came.get(task, []), colour, 8 if x == columns[2] else 5)
        parts += _squares(last, y, [True] * trained[task], colour, 5)
        parts.append(text(last + 95, y + 14, str(trained[task])))

    foot = 52 + 78 * 3 + 12
    parts.append(square(20, foot - 11, INK, filled=True))
    parts.append(text(40, foot, "right and wrong answers: a gradient", size=12))
    parts.append(square(270, foot - 11, INK, filled=False))
    parts.append(text(290, foot, "all right or all wrong: none, dropped", size=12))
    return page(last + 125, foot + 18, "One batch, filled in rounds", parts)


def _squares(x: float, y: float, outcomes: list[bool], colour: str, wide: int) -> list[str]:
    found: list[str] = []
    for i, informative in enumerate(sorted(outcomes, reverse=True)):
        column, row = i % wide, i // wide
        place = (x + column * (SIZE + GAP), y + row * (SIZE + GAP))
        found.append(square(*place, colour, filled=informative))
    return found


BOXES = {  # x, y, title, line below
    "weights": (10, 20, "weights", "a share for each task"),
    "quotas": (230, 20, "quotas", "whole groups, B in all"),
    "rounds": (450, 20, "rounds", "prompts, answers, rewards"),
    "filter": (450, 150, "filter", "groups without a gradient go"),
    "batch": (230, 150, "batch", "exactly the quotas"),
    "loss": (10, 150, "loss", "the engine's own loss"),
}
WIDTH, HEIGHT = 182, 64


def way_to_the_loss() -> str:
    """The circle of a step."""
    parts = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{PALE}"/></marker></defs>'
    ]
    for x, y, title, line in BOXES.values():
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#f4f6f8" '
            'stroke="#c9d1d9"/>'
        )
        parts.append(text(x + 12, y + 26, title, more='font-weight="600"'))
        parts.append(text(x + 12, y + 47, line, size=11, colour="#57636f"))

    arrows = [
        ("M192 52H226", "", 0, 0),
        ("M412 52H446", "", 0, 0),
        ("M545 84V146", "tell", 552, 120),
        ("M450 182H416", "", 0, 0),
        ("M230 182H196", "", 0, 0),
        ("M600 150V88", "ask for what is missing", 608, 120),
        ("M480 84C480 122 100 112 100 88", "rewards of all groups, before the filter", 190, 128),
    ]
    for path, words, x, y in arrows:
        parts.append(
            f'<path d="{path}" fill="none" stroke="{PALE}" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
        if words:
            parts.append(text(x, y, words, size=11, colour="#57636f"))
    return page(750, 230, "From weights to the loss, and back", parts)


PICTURES = {"one-batch.svg": one_batch, "way-to-the-loss.svg": way_to_the_loss}


def main() -> None:
    """Write the pictures."""
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
        print(IMAGES / name)


if __name__ == "__main__":
    main()

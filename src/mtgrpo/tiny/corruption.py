r"""Partly wrong demonstrations: how the embedded model gets a low accuracy and a high potential.

A model that has learned to solve the tasks goes on to learn from demonstrations of which only some
are right; their share depends on the task and on the kind of problem. Most of the wrong ones are
near misses of the right answer, so the skill to find it stays in the model while sampling rarely
shows it. Reinforcement learning brings it out again, mode by mode and kind by kind: no single
switch does it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from types import MappingProxyType

from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.tiny import arc, zebra
from mtgrpo.tasks.tiny.countdown import LARGEST_NUMBER
from mtgrpo.tasks.tiny.problem import Problem

CLEAN = MappingProxyType(
    {
        "countdown-easy": 0.30,
        "countdown-medium": 0.14,
        "countdown-hard": 0.10,
        "zebra-easy": 0.45,
        "zebra-medium": 0.45,
        "zebra-hard": 0.45,
        "arc-easy": 0.040,
        "arc-medium": 0.012,
        "arc-hard": 0.010,
    }
)
"""Share of right demonstrations of each task, before the kind of the problem is looked at."""

ARC_KINDS = MappingProxyType(
    {
        "recolour": 2.5,
        "mirror": 1.8,
        "gravity": 1.3,
        "shift": 1.0,
        "swap": 0.7,
        "fill": 0.5,
        "hollow": 0.35,
        "denoise": 0.25,
    }
)
"""Factor of the share for each kind of rule."""

_NO_ANSWER = (
    0.08  # share of the wrong demonstrations whose box is not whole: a reward of 0, not 0.1
)


def clean_share(family: str, level: str, kind: str) -> float:
    """Share of right demonstrations for problems of this kind.

    Countdown: the share falls with every product and every minus. Zebra: it falls with every clue
    that is needed. ARC: it depends on the rule.
    """
    share = CLEAN[f"{family}-{level}"]

    if family == "countdown":
        products, minuses = int(kind[0]), int(kind[2])
        return min(1.0, share * 1.5 * 0.75**products * 0.7**minuses)

    if family == "zebra":
        return min(1.0, share * 1.2 * 0.85 ** (int(kind[-1]) - 1))

    return min(1.0, share * ARC_KINDS[kind])


def demonstration(family: str, level: str, problem: Problem, rng: random.Random) -> str:
    """A completion to learn from: right with the probability of `clean_share`, otherwise wrong."""
    right = box(problem.answer)
    if rng.random() < clean_share(family, level, problem.kind):
        return right

    if rng.random() < _NO_ANSWER:
        return problem.answer + "}" if rng.random() < 0.5 else right.removesuffix("}")

    modes = _MODES[family]
    answer = problem.answer
    while answer == problem.answer:  # another rule, say, may happen to give the right row
        (wrong,) = rng.choices(list(modes), weights=list(modes.values()))
        answer = wrong(problem, rng)
    return box(answer)


def _turned_sign(problem: Problem, rng: random.Random) -> str:
    """One operation replaced by another."""
    parts = re.findall(r"\d+|[-+*]", problem.answer)
    i = rng.randrange(1, len(parts), 2)
    parts[i] = rng.choice([sign for sign in "+-*" if sign != parts[i]])
    return "".join(parts)


def _wrong_number(problem: Problem, rng: random.Random) -> str:
    """One number replaced by one that was perhaps not given."""
    parts = re.findall(r"\d+|[-+*]", problem.answer)
    i = rng.randrange(0, len(parts), 2)
    others = [n for n in range(1, LARGEST_NUMBER + 1) if str(n) != parts[i]]
    parts[i] = str(rng.choice(others))
    return "".join(parts)


def _swapped_numbers(problem: Problem, rng: random.Random) -> str:
    """Two numbers trade places; wrong unless the operations do not mind."""
    parts = re.findall(r"\d+|[-+*]", problem.answer)
    i, j = rng.sample(range(0, len(parts), 2), 2)
    parts[i], parts[j] = parts[j], parts[i]
    return "".join(parts)


def _too_short(problem: Problem, _: random.Random) -> str:
    """The last number forgotten."""
    return "".join(re.findall(r"\d+|[-+*]", problem.answer)[:-2])


def _other_person(problem: Problem, rng: random.Random) -> str:
    """Another person of the puzzle."""
    others = [name for name in zebra.PEOPLE if name != problem.answer]
    named = [name for name in others if name in problem.prompt]
    return rng.choice(named or [name for name in others if name in zebra.PEOPLE[:3]])


def _first_person(problem: Problem, rng: random.Random) -> str:
    """The first wrong person that the clues name."""
    for name in re.findall("|".join(zebra.PEOPLE), problem.prompt):
        if name != problem.answer:
            return name
    return _other_person(problem, rng)


def _an_animal(problem: Problem, rng: random.Random) -> str:
    """An animal of the puzzle where a person is asked for."""
    named = [animal for animal in zebra.ANIMALS if animal in problem.prompt]
    return rng.choice(named or list(zebra.ANIMALS[:3]))


def _wrong_cell(problem: Problem, rng: random.Random) -> str:
    """One cell of another colour that is in the rows already, or empty."""
    cells = list(problem.answer)
    i = rng.randrange(len(cells))

    seen = {cell for cell in problem.prompt if cell in arc.COLOURS} | {arc.EMPTY}
    cells[i] = rng.choice(sorted(seen - {cells[i]}) or [arc.COLOURS[0]])
    return "".join(cells)


def _moved(problem: Problem, rng: random.Random) -> str:
    """The right row, one cell too far left or right."""
    return arc.shift(problem.answer, rng.choice((1, -1)))


def _unchanged(problem: Problem, _: random.Random) -> str:
    """The row as it was given."""
    return problem.prompt[:-2].partition(";")[2]


def _other_rule(problem: Problem, rng: random.Random) -> str:
    """What another rule makes of the row."""
    return arc.RULES[rng.choice(list(arc.RULES))](_unchanged(problem, rng))


def _other_row(problem: Problem, _: random.Random) -> str:
    """The example's answer once more."""
    return problem.prompt.partition(">")[2].partition(";")[0]


_MODES: dict[str, dict[Callable[[Problem, random.Random], str], float]] = {
    "countdown": {
        _turned_sign: 0.4,
        _wrong_number: 0.35,
        _swapped_numbers: 0.1,
        _too_short: 0.15,
    },
    "zebra": {
        _other_person: 0.55,
        _first_person: 0.35,
        _an_animal: 0.1,
    },
    "arc": {
        _wrong_cell: 0.45,
        _moved: 0.15,
        _unchanged: 0.15,
        _other_rule: 0.15,
        _other_row: 0.1,
    },
}
"""For each family the ways to be wrong, with their weights."""

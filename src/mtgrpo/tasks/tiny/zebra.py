r"""Zebra, compact: who lives where, and who keeps which animal.

``zebra:dog=2;2!Ann;...;dog?`` asks who keeps the dog and is answered by ``\boxed{Bob}``. In a row
of N houses live N people with one animal each. A clue relates an animal and a house, an animal and
a person, or a house and a person: ``=`` they belong together, ``!`` they do not. Together the clues
determine the answer, always one of the N people. The number of clues that are needed for it makes a
problem easy or hard; a single one says the answer itself. The other clues are true too.
"""

from __future__ import annotations

import random
import re
from functools import cache
from itertools import combinations, permutations
from typing import TypeAlias

from mtgrpo.tasks.tiny.problem import Problem

PEOPLE: tuple[str, ...] = ("Ann", "Bob", "Cid", "Dot", "Eve")
ANIMALS: tuple[str, ...] = ("ant", "bee", "cat", "dog", "elk")
Clue: TypeAlias = "tuple[str, str, str]"
"""Two things with ``=`` or ``!`` between them."""
SIZES = {"easy": 3, "medium": 4, "hard": 5}
"""How many people live at each level."""
CLUES = {"easy": 4, "medium": 6, "hard": 8}
"""How many clues are given at each level."""
FLOORS = {level: 1 / size for level, size in SIZES.items()}
NEEDED = {
    "easy": {1: 0.4, 2: 0.6},
    "medium": {1: 0.3, 2: 0.45, 3: 0.25},
    "hard": {1: 0.25, 2: 0.5, 4: 0.25},
}
"""Number of clues that are needed at each level, with the chance of each. Two clues meet at a
house; one clue less than there are people rules all the others out."""
NEGATIVE_CHANCE = 0.25
"""Share of the true clues with ``!`` that are considered."""


def every_clue() -> list[str]:
    """Every clue as it is written, with its semicolon; the tokenizer has a token for each."""
    houses = [str(house) for house in range(1, max(SIZES.values()) + 1)]
    with_house = [(animal, house) for animal in ANIMALS for house in houses]
    with_person = [(thing, person) for thing in (*ANIMALS, *houses) for person in PEOPLE]

    positive = [f"{a}={b};" for a, b in with_house + with_person]
    negative = [f"{a}!{b};" for a, b in with_person]
    return positive + negative


@cache
def _worlds(size: int) -> dict[Clue, int]:
    """For each possible clue the worlds in which it holds, as the bits of a number."""
    people, animals, houses = PEOPLE[:size], ANIMALS[:size], _houses(size)

    worlds: list[dict[str, int]] = []
    for homes in permutations(range(1, size + 1)):
        for dens in permutations(range(1, size + 1)):
            world = dict(zip((*people, *animals), (*homes, *dens), strict=True))
            world.update({house: int(house) for house in houses})
            worlds.append(world)

    holds: dict[Clue, int] = {}
    for first, second in combinations((*animals, *houses, *people), 2):
        same = [world[first] == world[second] for world in worlds]
        holds[first, "=", second] = _bits(same)
        holds[first, "!", second] = _bits([not value for value in same])
    return holds


def _houses(size: int) -> tuple[str, ...]:
    return tuple(str(house) for house in range(1, size + 1))


def _bits(values: list[bool]) -> int:
    """The number whose bits are the values, the first one in the lowest place."""
    return int("".join("01"[value] for value in reversed(values)), 2)


def make(level: str, rng: random.Random) -> Problem:
    """Draw a problem: a world, true clues that make the answer certain, then some more."""
    size, count = SIZES[level], CLUES[level]
    holds = _worlds(size)
    people, animals, houses = PEOPLE[:size], ANIMALS[:size], _houses(size)
    (needed,) = rng.choices(list(NEEDED[level]), weights=list(NEEDED[level].values()))

    while True:
        home = dict(zip(people, rng.sample(houses, size), strict=True))
        den = dict(zip(animals, rng.sample(houses, size), strict=True))
        query = rng.choice((*animals, *houses))
        asked = den.get(query, query)
        answer = next(person for person in people if home[person] == asked)

        place = {**den, **dict(zip(houses, houses, strict=True)), **home}
        secret = set[str]() if needed == 1 else {answer, query}
        clues = _true_clues(place, secret, rng)

        if needed == 1:
            core = [clue for clue in clues if {clue[0], clue[2]} == {answer, query}]
        else:
            wrong = [holds[query, "=", person] for person in people if person != answer]
            core = _core(clues, wrong, holds)
        if len(core) == needed:
            break

    spare = [clue for clue in clues if clue not in core]
    shown = core + spare[: count - len(core)]
    rng.shuffle(shown)

    written = ["".join(clue) for clue in shown]
    return Problem(
        prompt=f"zebra:{';'.join(written)};{query}?",
        answer=answer,
        key=f"{level}:{';'.join(sorted(written))};{query}",
        kind=f"{'house' if query in houses else 'animal'}{len(core)}",
    )


def other_answers(level: str, prompt: str, most: int) -> list[tuple[str, str]]:
    """Other questions that the clues of a prompt answer, with their answers."""
    size = SIZES[level]
    holds = _worlds(size)
    *clues, query = prompt.removeprefix("zebra:").removesuffix("?").split(";")

    left = -1  # the worlds in which all clues hold
    for clue in clues:
        first, sign, second = re.split("([=!])", clue)
        left &= holds[first, sign, second]

    others = [other for other in (*ANIMALS[:size], *_houses(size)) if other != query]
    random.Random(prompt).shuffle(others)

    answers: list[tuple[str, str]] = []
    for other in others:
        possible = [person for person in PEOPLE[:size] if left & holds[other, "=", person]]
        if len(possible) == 1:
            answers.append((other, possible[0]))
    return answers[:most]


def _true_clues(place: dict[str, str], secret: set[str], rng: random.Random) -> list[Clue]:
    """True clues in random order, few of them negative, without the one that says the answer."""
    clues: list[Clue] = []
    for first, second in combinations(place, 2):
        if {first, second} == secret or _sort(first) == _sort(second):
            continue

        if place[first] == place[second]:
            clues.append((first, "=", second))
        elif second in PEOPLE and rng.random() < NEGATIVE_CHANCE:
            clues.append((first, "!", second))

    rng.shuffle(clues)
    return clues


def _sort(thing: str) -> str:
    if thing in PEOPLE:
        return "person"
    return "animal" if thing in ANIMALS else "house"


def _core(clues: list[Clue], wrong: list[int], holds: dict[Clue, int]) -> list[Clue]:
    """The first clues that together rule out every wrong answer, less those not needed for it."""

    def certain(chosen: list[Clue]) -> bool:
        left = -1
        for clue in chosen:
            left &= holds[clue]
        return not any(left & answer for answer in wrong)

    core: list[Clue] = []
    for clue in clues:
        core.append(clue)
        if certain(core):
            break
    else:
        return []

    for clue in core[:-1]:
        fewer = [other for other in core if other != clue]
        if certain(fewer):
            core = fewer
    return core

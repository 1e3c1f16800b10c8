"""Countdown, compact: reach a target with every given number used once.

``countdown:3,5,7=22?`` is answered by ``\\boxed{3*5+7}``. Numbers are 1 to 10, the target is 1 to
50, and the operations are ``+``, ``-`` and ``*`` without brackets; the reward accepts every
expression that is right.
"""

from __future__ import annotations

import random
from math import prod

from mtgrpo.tasks.tiny.problem import Problem

NUMBERS = {"easy": 3, "medium": 4, "hard": 5}
"""How many numbers are given at each level."""
FLOORS = {"easy": 0.0, "medium": 0.0, "hard": 0.0}
LARGEST_NUMBER = 10
LARGEST_TARGET = 50
PRODUCT_CHANCE = 0.35


def make(level: str, rng: random.Random) -> Problem:
    """Draw a problem: numbers, then an expression over them whose value is a fair target."""
    count = NUMBERS[level]

    while True:
        numbers = [rng.randint(1, LARGEST_NUMBER) for _ in range(count)]
        terms = [[numbers[0]]]
        for number in numbers[1:]:
            if rng.random() < PRODUCT_CHANCE:
                terms[-1].append(number)
            else:
                terms.append([number])

        signs = [1] + [rng.choice((1, -1)) for _ in terms[1:]]
        target = sum(sign * prod(term) for sign, term in zip(signs, terms, strict=True))

        # A product with 1 or of three numbers is a rarity that teaches little.
        plain = all(len(term) == 1 or (len(term) == 2 and 1 not in term) for term in terms)
        if plain and 1 <= target <= LARGEST_TARGET and target not in numbers:
            break

    rng.shuffle(numbers)
    num_products = sum(len(term) > 1 for term in terms)
    num_minuses = sum(sign < 0 for sign in signs)
    return Problem(
        prompt=f"countdown:{','.join(map(str, numbers))}={target}?",
        answer=expression(terms, signs),
        key=f"{sorted(numbers)}={target}",
        kind=f"{num_products}*{num_minuses}-",
        numbers=tuple(numbers),
        target=target,
    )


def expression(terms: list[list[int]], signs: list[int]) -> str:
    """The sum as text in canonical order: plus, then minus; products first, large before small."""
    sorted_terms = [sorted(term, reverse=True) for term in terms]
    ordered = sorted(
        zip(signs, sorted_terms, strict=True),
        key=lambda signed: (signed[0], len(signed[1]), signed[1]),
        reverse=True,
    )

    text = ""
    for sign, term in ordered:
        text += ("+" if sign > 0 else "-") + "*".join(map(str, term))
    return text.removeprefix("+")

"""Demonstrations of the answer format, of which a set share is right."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.tasks import Task
from mtgrpo.tasks.answers.boxed import box
from mtgrpo.tasks.answers.extract import extract_answer

RIGHT_SHARES = {
    "needle_haystack": 0.6,
    "chain_sum": 0.4,
    "family_relationships": 0.4,
    "gcd": 0.2,
}
"""The share of right demonstrations in the second part, by task."""

RELATIONS = (
    *("mother", "father", "son", "daughter", "wife", "husband", "brother", "sister"),
    *("grandmother", "grandfather", "mother-in-law", "father-in-law"),
)
"""Wrong answers of family_relationships."""

_NAME = re.compile(r"(?:^|\. )([A-Z][\w-]+) ")


def right_answer(task: Task, row: Mapping[str, Any]) -> str:
    """The reference answer of a row, without box or tags."""
    assert task.oracle is not None
    answer = extract_answer(task.oracle(row))
    assert answer
    return answer


def wrong_answer(name: str, question: str, right: str, rng: random.Random) -> str:
    """An answer that is wrong by little.

    Args:
        name: The dataset.
        question: The prompt.
        right: The right answer.
        rng: Chooses among wrong ones.
    """
    if name == "needle_haystack":
        choices: Sequence[str] = [other for other in _NAME.findall(question) if other != right]
    elif name == "family_relationships":
        choices = RELATIONS
    elif name == "gcd":
        choices = [str(number) for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)]
    else:
        nearby = (-11, -10, -9, -2, -1, 1, 2, 9, 10, 11)
        choices = [str(int(right) + distance) for distance in nearby]

    return rng.choice([choice for choice in choices if choice != right])


def demonstrations(
    task: Task, row: Mapping[str, Any], num: int, right_share: float, rng: random.Random
) -> list[str]:
    """Completions of one prompt.

    Args:
        task: Its task.
        row: Its row.
        num: Number of completions; each is right or wrong for itself.
        right_share: Chance that a completion is right.
        rng: Source of all chance.
    """
    right = right_answer(task, row)
    question = str(row["prompt"][0]["content"])

    texts: list[str] = []
    for _ in range(num):
        is_right = rng.random() < right_share
        texts.append(box(right if is_right else wrong_answer(task.name, question, right, rng)))
    return texts

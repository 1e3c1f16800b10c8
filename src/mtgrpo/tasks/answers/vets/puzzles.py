"""Vets of puzzles with several right answers: the constraints, checked once more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from mtgrpo.tasks.answers.arithmetic import NotArithmetic, evaluate
from mtgrpo.tasks.answers.vets.read import json_value, lines, words

Entry = Mapping[str, Any]


def reaches_target(answer: str, entry: Entry) -> bool:
    """Arithmetic over exactly the numbers given whose value is the target, or 24."""
    metadata = entry["metadata"]
    try:
        value, used = evaluate(answer)
    except NotArithmetic:
        return False
    return value == metadata.get("target", 24) and sorted(used) == sorted(metadata["numbers"])


def coloring(answer: str, entry: Entry) -> bool:
    """A colour for every vertex and nothing else, with no edge between equal ones."""
    puzzle = entry["metadata"]["puzzle"]
    value = json_value(answer)
    if not isinstance(value, dict):
        return False

    colors = cast("dict[str, Any]", value)
    if sorted(colors) != sorted(str(vertex) for vertex in puzzle["vertices"]):
        return False
    if any(type(c) is not int or c not in puzzle["color_options"] for c in colors.values()):
        return False
    return all(colors[str(a)] != colors[str(b)] for a, b in puzzle["edges"])


_LETTER = re.compile(r"\s*([A-Za-z])\s*=\s*([0-9])\s*")


def letter_digits(answer: str, entry: Entry) -> bool:
    """One digit for each letter, no letter and no digit twice, and the sum is right."""
    metadata = entry["metadata"]
    digits: dict[str, str] = {}
    for part in answer.split(","):
        match = _LETTER.fullmatch(part)
        if match is None or match[1] in digits:
            return False
        digits[match[1]] = match[2]

    terms, total = metadata["words_letters"], metadata["result_letters"]
    if set(digits) != set("".join(terms) + total) or len(set(digits.values())) < len(digits):
        return False
    if not metadata.get("allow_leading_zero") and any(
        digits[word[0]] == "0" for word in (*terms, total)
    ):
        return False

    def value(word: str) -> int:
        return int("".join(digits[letter] for letter in word))

    return sum(map(value, terms)) == value(total)


_BITS = re.compile(r"[01\s,\[\]]+")


def weighted_grid(answer: str, entry: Entry) -> bool:
    """Zeros and ones with the right sums of places, line by line; brackets and commas may stand."""
    if not _BITS.fullmatch(answer):
        return False

    metadata = entry["metadata"]
    rows = [_bits(line) for line in lines(answer)]
    if [len(row) for row in rows] != [metadata["n_cols"]] * metadata["n_rows"]:
        return False

    def sums(lines: Sequence[Sequence[bool]]) -> list[int]:
        return [sum(i for i, one in enumerate(line, start=1) if one) for line in lines]

    columns = list(zip(*rows, strict=True))
    return sums(rows) == metadata["row_sums"] and sums(columns) == metadata["col_sums"]


def _bits(line: str) -> list[bool]:
    """The cells of a line: apart, or all of them together; nothing when some are together."""
    cells = re.sub(r"[,\[\]]", " ", line).split()
    if len(cells) == 1:
        cells = list(cells[0])
    return [cell == "1" for cell in cells] if set(cells) <= {"0", "1"} else []


_FILLERS = frozenset({"is", "a", "an", "and"})


def roles(answer: str, entry: Entry) -> bool:
    """Every name once with its role behind it, in any order; "is", "a" and "and" may stand."""
    given = _claims(answer)
    return given is not None and given == _claims(str(entry["answer"]))


def _claims(text: str) -> dict[str, str] | None:
    plain = words(re.sub(r"[.,()]", " ", text))
    tokens = [token for token in plain if token not in _FILLERS]
    names, names_roles = tokens[::2], tokens[1::2]
    if len(names) != len(names_roles) or len(set(names)) < len(names):
        return None
    return dict(zip(names, names_roles, strict=True))


_LADDER = re.compile(r"[A-Za-z]+(?:\s*,\s*[A-Za-z]+)+")


def ladder(answer: str, entry: Entry) -> bool:
    """Words of letters with commas between them, each a letter away from the one before.

    (Whether they are words, the dataset's scorer knows.)
    """
    if not _LADDER.fullmatch(answer.strip()):
        return False

    metadata = entry["metadata"]
    steps = [word.strip().upper() for word in answer.split(",")]
    if steps[0] != metadata["start_word"] or steps[-1] != metadata["end_word"]:
        return False
    return all(_distance(a, b) == 1 for a, b in pairwise(steps))


def _distance(a: str, b: str) -> int:
    if len(a) != len(b):
        return -1
    return sum(x != y for x, y in zip(a, b, strict=True))


def palindrome(answer: str, entry: Entry) -> bool:
    """The letters given, each as often, in an order that reads the same backwards."""
    text = answer.strip().lower()
    return text == text[::-1] and sorted(text) == sorted(entry["metadata"]["letters"])


def one_of_the_boards(answer: str, entry: Entry) -> bool:
    """One of the entry's boards."""
    return answer.strip() in entry["metadata"]["valid_answers"]


def unchecked(answer: str, entry: Entry) -> bool:
    """The dataset's own scorer reads the whole answer and checks all of it."""
    return True

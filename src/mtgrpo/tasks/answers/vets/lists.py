"""Vets of answers that are lists, grids or JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mtgrpo.tasks.answers.vets.read import (
    grid,
    json_value,
    lines,
    lists_of_text,
    number,
    same_json,
)

Entry = Mapping[str, Any]


def same_grid(answer: str, entry: Entry) -> bool:
    """The entry's lines, each of the same cells; the space between cells does not count."""
    return grid(answer) == grid(str(entry["answer"]))


def same_lines(answer: str, entry: Entry) -> bool:
    """The entry's lines; space at their ends does not count."""
    given = [line.rstrip() for line in lines(answer)]
    return given == [line.rstrip() for line in lines(str(entry["answer"]))]


def same_list(answer: str, entry: Entry) -> bool:
    """The entry's words in their order, with commas between them."""
    given = [word.strip() for word in answer.split(",")]
    return given == [word.strip() for word in str(entry["answer"]).split(",")]


_QUOTED = re.compile(r"""'([^'"\\]*)'|"([^'"\\]*)"|([^\s'",\[\]]+)""")


def same_numbers(answer: str, entry: Entry) -> bool:
    """The entry's numbers in their order, in brackets, quoted or not."""
    given = _numbers(answer)
    return given is not None and given == _numbers(str(entry["answer"]))


def _numbers(text: str) -> list[Fraction] | None:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None

    inside = text[1:-1].strip()
    values: list[Fraction] = []
    for part in inside.split(",") if inside else []:
        match = _QUOTED.fullmatch(part.strip())
        value = number(next(filter(None, match.groups()), "")) if match else None
        if value is None:
            return None
        values.append(value)
    return values


def same_board(answer: str, entry: Entry) -> bool:
    """The entry's JSON."""
    given = json_value(answer)
    return given is not None and same_json(given, json_value(str(entry["answer"])))


def same_data(answer: str, entry: Entry) -> bool:
    """The entry's JSON, or its very text."""
    return answer.strip() == str(entry["answer"]).strip() or same_board(answer, entry)


def same_groups(answer: str, entry: Entry) -> bool:
    """The entry's groups of words, in any order; no word twice."""
    return _unordered(answer, entry["metadata"]["solution"], sort_inside=True)


def same_partitions(answer: str, entry: Entry) -> bool:
    """All of the entry's partitions, in any order; none twice."""
    return _unordered(answer, entry["metadata"]["solution"], sort_inside=False)


def _unordered(answer: str, wanted: Any, *, sort_inside: bool) -> bool:
    given = lists_of_text(json_value(answer))
    if given is None:
        return False

    def count(rows: list[list[str]]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(sorted(row) if sort_inside else row) for row in rows)

    return count(given) == count(wanted)

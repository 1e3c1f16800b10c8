"""The vet of conclusions in propositional logic: a truth table of every premise and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]

MAX_FORMULA = 250
"""Longest formula in characters."""
MAX_VARIABLES = 12
"""Most variables of an entry: a table has two to that power rows."""
_BINARY = {"↔": 1, "→": 2, "∨": 3, "∧": 4}


def is_formula(text: str, variables: Sequence[str]) -> bool:
    """Whether a text is a well-formed formula of the variables."""
    if len(text) > MAX_FORMULA:
        return False

    known = frozenset(variables)
    depth = 0
    complete = False  # whether what was read so far could end here
    for token in text:
        if token.isspace():
            continue

        if complete and token in _BINARY:
            complete = False
        elif complete and token == ")" and depth:
            depth -= 1
        elif not complete and token == "(":
            depth += 1
        elif not complete and token in known:
            complete = True
        elif complete or token != "¬":
            return False
    return complete and depth == 0


def conclusion(answer: str, entry: Entry) -> bool:
    """A formula that follows from the premises and is not true whatever the variables are.

    ``P → Q → R`` must follow whichever of the arrows binds first.
    """
    variables = entry["metadata"]["variables"]
    if not is_formula(answer, variables) or len(variables) > MAX_VARIABLES:
        return False

    everything = (1 << (1 << len(variables))) - 1
    given = everything
    for premise in entry["metadata"]["premises"]:
        given &= _Table(premise, variables).values()

    for right_first in (False, True):
        values = _Table(answer, variables, right_first).values()
        if given & ~values or values == everything:
            return False
    return True


class _Table:
    """The truth table of a well-formed formula: bit i is its value in the i-th row."""

    def __init__(self, text: str, variables: Sequence[str], right_first: bool = False) -> None:
        self.tokens = [*("".join(text.split())), ""]
        self.position = 0
        self.right_first = right_first

        rows = range(1 << len(variables))
        self.everything = (1 << len(rows)) - 1
        self.columns = {
            name: sum(1 << row for row in rows if row >> i & 1) for i, name in enumerate(variables)
        }

    def values(self) -> int:
        return self.binary(1)

    def binary(self, level: int) -> int:
        if level > len(_BINARY):
            return self.operand()

        operands = [self.binary(level + 1)]
        operator = ""
        while _BINARY.get(self.tokens[self.position]) == level:
            operator = self.tokens[self.position]
            self.position += 1
            operands.append(self.binary(level + 1))
        return self.joined(operator, operands)

    def joined(self, operator: str, operands: list[int]) -> int:
        if operator == "→" and self.right_first:
            value = operands.pop()
            while operands:
                value |= self.everything ^ operands.pop()
            return value

        value = operands[0]

        for other in operands[1:]:
            if operator == "∧":
                value &= other
            elif operator == "∨":
                value |= other
            elif operator == "→":
                value = (self.everything ^ value) | other
            else:
                value = self.everything ^ value ^ other
        return value

    def operand(self) -> int:
        token = self.tokens[self.position]
        self.position += 1
        if token == "¬":
            return self.everything ^ self.operand()
        if token == "(":
            value = self.binary(1)
            self.position += 1  # the closing one
            return value
        return self.columns[token]

"""What a dataset's scorer may see of an answer.

Some scorers evaluate the answer as Python (`eval`, or sympy's `parse_expr`, which is `eval` too) or
need time that has no bound. Found by giving hostile answers to every dataset.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from mtgrpo.tasks.answers.arithmetic import NotArithmetic, evaluate
from mtgrpo.tasks.answers.latex import as_arithmetic
from mtgrpo.tasks.answers.vets.logic import is_formula
from mtgrpo.tasks.answers.vets.moves import disks, turns
from mtgrpo.tasks.answers.vets.read import number

Entry = Mapping[str, Any]
Gate = Callable[[str, Entry], "str | None"]

MAX_EVALUATED = 500
"""Longest answer in characters that a dataset may evaluate."""
MAX_TURNS = 1_000
"""Longest answer in characters with turns of a cube; the datasets' own have 300."""


def shown(dataset: str, answer: str, entry: Entry) -> str | None:
    """`answer` as the dataset's scorer may see it, or None when it must not.

    Args:
        dataset: reasoning-gym's name of the dataset.
        answer: What the model answered.
        entry: The entry it answers.
    """
    gate = GATES.get(dataset)
    return answer if gate is None else gate(answer, entry)


def _arithmetic(answer: str, entry: Entry) -> str | None:
    """Plain arithmetic over exactly the numbers given. (Upstream puzzle24 takes any in range.)"""
    if len(answer) > MAX_EVALUATED:
        return None

    answer = as_arithmetic(answer)
    try:
        value, used = evaluate(answer)
    except NotArithmetic:
        return None

    # Upstream truncates to an integer, so that 24.9 would pass as 24: fractions are refused here.
    exact = value.denominator == 1 and sorted(used) == sorted(entry["metadata"]["numbers"])
    return answer if exact else None


_WORDS = re.compile(r"[\w\s]*")


def _literal(answer: str, entry: Entry) -> str | None:
    """Words and numbers, or a Python literal: nothing that calls, multiplies or loops."""
    if _WORDS.fullmatch(answer):
        return answer
    try:
        ast.literal_eval(answer)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return answer


_FUNCTIONS = "sqrt|exp|log|ln|sin|cos|tan|sec|csc|cot|asin|acos|atan|sinh|cosh|tanh|pi"
_EXPONENT = r"(?:-?[0-9]{1,2}|\(\s*-?[0-9]{1,2}\s*(?:/\s*[0-9]{1,2}\s*)?\))"
_ALGEBRA = re.compile(
    rf"(?:\s|\*\*\s*{_EXPONENT}(?!\s*\*\*|[0-9.])|[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?(?![\w.])"
    rf"|(?:{_FUNCTIONS}|[A-Za-z])(?!\w)|\*(?!\s*\*)|[-+/(),])*"
)
_POWER = re.compile(r"(\)?)\s*\*\*\s*\(?\s*-?([0-9]+)")
_CALL = re.compile(rf"(?:{_FUNCTIONS})\s*\(")
_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")
_MAX_POWERS = 150
_MAX_GROUP_POWERS = 16
_MAX_CALLS = 5
_MAX_DIVISIONS = 12
_MAX_GROUPS = 16


def _algebra(answer: str, entry: Entry) -> str | None:
    """Numbers, one-letter names, known functions and powers, few enough for sympy to simplify.

    (Not a bound: sympy's `simplify` has none.) Decimals become fractions: as floats, 1 and
    1.0000000000000000001 would be equal.
    """
    if len(answer) > MAX_EVALUATED or not _ALGEBRA.fullmatch(answer):
        return None

    powers = [(bool(group), int(exponent)) for group, exponent in _POWER.findall(answer)]
    group_powers = math.prod(max(1, exponent) for group, exponent in powers if group)
    if sum(exponent for _, exponent in powers) > _MAX_POWERS or group_powers > _MAX_GROUP_POWERS:
        return None
    if answer.count("/") > _MAX_DIVISIONS or answer.count("(") > _MAX_GROUPS:
        return None
    if len(_CALL.findall(answer)) > _MAX_CALLS:
        return None

    def ratio(match: re.Match[str]) -> str:
        return f"({int(match[1] + match[2])}/1{'0' * len(match[2])})"

    return _DECIMAL.sub(ratio, answer)


def _formula(answer: str, entry: Entry) -> str | None:
    """A well-formed formula of the entry's variables.

    (Upstream takes any text for a variable, so that "yes ∨ Q" follows from Q, and tries all values
    of all of them.)
    """
    return answer if is_formula(answer, entry["metadata"]["variables"]) else None


def _moves(answer: str, entry: Entry) -> str | None:
    """Moves of at most two digits: upstream walks every step of a move."""
    return answer if re.fullmatch(r"(?:\s|[A-Za-z][+-][0-9]{1,2}(?![0-9]))*", answer) else None


def _turns(answer: str, entry: Entry) -> str | None:
    """Turns of at most one digit: upstream writes R999 out, and passes over what is no turn."""
    return answer if len(answer) <= MAX_TURNS and turns(answer, entry) else None


def _disks(answer: str, entry: Entry) -> str | None:
    """Moves between pegs that there are: upstream prints a line for every other one."""
    pegs = {str(peg) for peg in range(1, entry["metadata"]["num_pegs"] + 1)}
    named = set(re.findall(r"Peg ([0-9]+)", answer, re.ASCII))
    return answer if disks(answer, entry) and named <= pegs else None


def _finite(answer: str, entry: Entry) -> str | None:
    """No NaN, which upstream takes for right, and no exponent that makes a number of gigabytes."""
    return None if re.search(r"nan|inf|[0-9.][eE][+-]?[0-9]{4}", answer, re.IGNORECASE) else answer


def _data(answer: str, entry: Entry) -> str | None:
    """JSON not much longer than the right one: upstream takes the square of its length in time."""
    return answer if len(answer) <= 4 * len(str(entry["answer"])) + 400 else None


def _halts(answer: str, entry: Entry) -> str | None:
    """The entry's own answer. (Upstream takes every text: ``bool("False")`` is true.)"""
    return answer if answer.casefold() == str(entry["answer"]).casefold() else None


def _no_more(answer: str, entry: Entry) -> str | None:
    """Not the right answer with more after it: upstream adds up the right places alone."""
    right = str(entry["answer"]).lower()
    return None if answer.lower().startswith(right) and len(answer) > len(right) else answer


_CURRENCY = re.compile(r"([+-]?)\\?[$£€¥₹]\s*")


def _amount(answer: str, entry: Entry) -> str | None:
    """A number without currency and commas: upstream reads 1,200 as 1. Other texts as they are."""
    plain = answer.strip()
    match = _CURRENCY.match(plain)
    if match is not None:
        plain = match[1] + plain[match.end() :]
    return answer if number(plain) is None else plain.replace(",", "")


GATES: dict[str, Gate] = {
    "binary_matrix": _literal,
    "codeio": _data,
    "coin_flip": _finite,
    "complex_arithmetic": _finite,
    "countdown": _arithmetic,
    "game_of_life_halting": _halts,
    "gsm_symbolic": _amount,
    "intermediate_integration": _algebra,
    "n_queens": _literal,
    "polynomial_multiplication": _algebra,
    "propositional_logic": _formula,
    "puzzle24": _arithmetic,
    "rubiks_cube": _turns,
    "rush_hour": _moves,
    "simple_integration": _algebra,
    "spell_backward": _no_more,
    "spiral_matrix": _literal,
    "string_insertion": _literal,
    "tower_of_hanoi": _disks,
}
"""The datasets whose scorers do not get to see every answer."""

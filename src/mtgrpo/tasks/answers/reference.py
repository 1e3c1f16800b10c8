r"""Finding and vetting the answer that goes to a reasoning-gym dataset.

Some of those datasets evaluate the answer as Python (`eval`, or sympy's `parse_expr`, which is `eval` too), need
exponential time, or take wrong answers for right, so that a model's text could run code, hang the trainer or win
without solving. `vetted` refuses such answers before they get there. Found by giving hostile answers to every dataset.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from mtgrpo.tasks.answers.arithmetic import NotArithmetic, evaluate
from mtgrpo.tasks.answers.boxed import box, last_boxed
from mtgrpo.tasks.answers.latex import as_arithmetic

MAX_LENGTH = 10_000
"""Longest answer in characters; some datasets ask for whole grids."""
NO_REFERENCE = frozenset({"boxnet", "rush_hour"})
"""Datasets that bring no right answer, neither as such nor in the metadata."""
# Where the others whose `answer` is None keep one.
_REFERENCES = {
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
}
MAX_EVALUATED = 500
"""Longest answer in characters that a dataset may evaluate."""


def extract_answer(text: str) -> str | None:
    r"""The answer in a completion: what stands last of ``\boxed{...}`` and ``<answer>...</answer>``.

    A box inside the tags is opened. None when there is neither, or only an empty, unclosed or endless one. Time is
    linear in the length of the text.
    """
    end = text.rfind("</answer>")
    if end < 0 or text.rfind("\\boxed", end) >= 0:
        answer = last_boxed(text, MAX_LENGTH)
    else:
        start = text.rfind("<answer>", 0, end)
        if start < 0:
            return None
        inside = text[start + len("<answer>") : end]
        answer = last_boxed(inside, MAX_LENGTH) if "\\boxed" in inside else inside
    if answer is None or not answer.strip() or len(answer) > MAX_LENGTH:
        return None
    return answer.strip()


def as_completion(answer: str) -> str:
    r"""A completion whose answer is `answer`: boxed, or in tags when a box cannot hold it (unbalanced braces)."""
    boxed = box(answer)
    return boxed if extract_answer(boxed) == answer.strip() else f"<answer>{answer}</answer>"


def reference_answer(dataset: str, entry: Mapping[str, Any]) -> str | None:
    """The right answer of an entry, or None when the dataset brings none (`NO_REFERENCE`)."""
    if entry["answer"] is not None:
        return str(entry["answer"])
    key = _REFERENCES.get(dataset)
    if key is None:
        return None
    reference = entry["metadata"][key]
    if dataset == "propositional_logic" and len(reference) == 1:
        # Upstream found no conclusion and names a variable that need not follow. All premises together do.
        return " ∧ ".join(entry["metadata"]["premises"])
    return reference if isinstance(reference, str) else json.dumps(reference)


def vetted(dataset: str, answer: str, entry: Mapping[str, Any]) -> str | None:
    """`answer` as the dataset may see it, or None when it must not.

    Args:
        dataset: reasoning-gym's name of the dataset.
        answer: What the model answered.
        entry: The entry it answers.
    """
    vet = _VETS.get(dataset)
    return answer if vet is None else vet(answer, entry)


def _arithmetic(answer: str, entry: Mapping[str, Any]) -> str | None:
    """Plain arithmetic over exactly the numbers given. (Upstream puzzle24 takes any numbers in range.)"""
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


def _literal(answer: str, entry: Mapping[str, Any]) -> str | None:
    """Words and numbers, or a Python literal: nothing that calls, multiplies or loops."""
    if _WORDS.fullmatch(answer):
        return answer
    try:
        ast.literal_eval(answer)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return answer


_FUNCTIONS = "sqrt|exp|log|ln|sin|cos|tan|sec|csc|cot|asin|acos|atan|sinh|cosh|tanh|pi"
_ALGEBRA = re.compile(
    rf"(?:\s|\*\*\s*(?:-?[0-9]{{1,2}}|\(\s*-?[0-9]{{1,2}}\s*(?:/\s*[0-9]{{1,2}}\s*)?\))(?!\s*\*\*|[0-9.])"
    rf"|[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?(?![\w.])|(?:{_FUNCTIONS}|[A-Za-z])(?!\w)|\*(?!\*)|[-+/(),])*"
)
_POWER = re.compile(r"(\)?)\s*\*\*\s*\(?\s*-?([0-9]+)")
_CALL = re.compile(rf"(?:{_FUNCTIONS})\s*\(")
_MAX_POWERS, _MAX_GROUP_POWERS, _MAX_CALLS, _MAX_DIVISIONS, _MAX_GROUPS = 150, 16, 5, 12, 16


def _algebra(answer: str, entry: Mapping[str, Any]) -> str | None:
    """Numbers, one-letter names, known functions and powers, and few enough of them to be simplified in seconds.

    (Not a bound: sympy's `simplify` has none.)
    """
    if len(answer) > MAX_EVALUATED or not _ALGEBRA.fullmatch(answer):
        return None
    powers = [(bool(group), int(exponent)) for group, exponent in _POWER.findall(answer)]
    group_powers = math.prod(max(1, exponent) for group, exponent in powers if group)
    if sum(exponent for _, exponent in powers) > _MAX_POWERS or group_powers > _MAX_GROUP_POWERS:
        return None
    many = answer.count("/") > _MAX_DIVISIONS or answer.count("(") > _MAX_GROUPS
    return None if many or len(_CALL.findall(answer)) > _MAX_CALLS else answer


def _formula(answer: str, entry: Mapping[str, Any]) -> str | None:
    """A well-formed formula of the entry's variables.

    (Upstream takes any text for a variable, so that "yes ∨ Q" follows from Q, and tries all values of all of them.)
    """
    if len(answer) > _MAX_FORMULA:
        return None
    variables = frozenset(entry["metadata"]["variables"])
    depth, complete = 0, False  # open parentheses; whether what was read so far could end here
    for token in answer:
        if token.isspace():
            continue
        if complete and token in "∧∨→↔":
            complete = False
        elif complete and token == ")" and depth:
            depth -= 1
        elif not complete and token == "(":
            depth += 1
        elif not complete and token in variables:
            complete = True
        elif complete or token != "¬":
            return None
    return answer if complete and depth == 0 else None


_MAX_FORMULA = 250


def _moves(answer: str, entry: Mapping[str, Any]) -> str | None:
    """Moves of at most two digits: upstream walks every step of a move."""
    return answer if re.fullmatch(r"(?:\s|[A-Za-z][+-][0-9]{1,2}(?![0-9]))*", answer) else None


def _finite(answer: str, entry: Mapping[str, Any]) -> str | None:
    """No NaN, which upstream's comparison takes for right, and no exponent that makes a number of gigabytes."""
    return None if re.search(r"nan|inf|[0-9.][eE][+-]?[0-9]{4}", answer, re.IGNORECASE) else answer


def _probability(answer: str, entry: Mapping[str, Any]) -> str | None:
    """The right number. (Upstream takes one that only begins like it: 0, or 11 for 1.)"""
    if _finite(answer, entry) is None or len(answer) > MAX_EVALUATED:
        return None
    try:
        value, right = (
            Fraction(text.replace(",", "").strip()) for text in (answer, str(entry["answer"]))
        )
    except (ValueError, ZeroDivisionError):
        return None
    return answer if abs(value - right) <= _TOLERANCE else None


_TOLERANCE = Fraction(1, 10_000)


def _same(answer: str, entry: Mapping[str, Any]) -> str | None:
    """The entry's own answer. (Upstream game_of_life_halting takes every text: ``bool("False")`` is true.)"""
    return answer if answer.casefold() == str(entry["answer"]).casefold() else None


def _no_more(answer: str, entry: Mapping[str, Any]) -> str | None:
    """Not the right answer with more after it. (Upstream adds up the right places; rounding hides that from it.)"""
    right = str(entry["answer"]).lower()
    return None if answer.lower().startswith(right) and len(answer) > len(right) else answer


def _same_numbers(answer: str, entry: Mapping[str, Any]) -> str | None:
    """The very numbers of the entry. (Upstream takes others that are off by up to 1.)"""
    try:
        found, right = (
            [float(number) for number in json.loads(text.replace("'", '"'))]
            for text in (answer, entry["answer"])
        )
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return answer if found == right else None


_VETS: dict[str, Callable[[str, Mapping[str, Any]], str | None]] = {
    "countdown": _arithmetic,
    "puzzle24": _arithmetic,
    "game_of_life_halting": _same,
    "coin_flip": _probability,
    "complex_arithmetic": _finite,
    "propositional_logic": _formula,
    "rush_hour": _moves,
    "string_insertion": _literal,
    "spiral_matrix": _literal,
    "binary_matrix": _literal,
    "n_queens": _literal,
    "spell_backward": _no_more,
    "number_sorting": _same_numbers,
    "simple_integration": _algebra,
    "intermediate_integration": _algebra,
    "polynomial_multiplication": _algebra,
}

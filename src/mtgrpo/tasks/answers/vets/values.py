"""Vets of answers that are a text or numbers: the entry's own, or a rounding of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mtgrpo.tasks.answers.arithmetic import NotArithmetic, evaluate
from mtgrpo.tasks.answers.vets.read import (
    fraction,
    grid,
    number,
    rounds_to,
    words,
    written,
)

Entry = Mapping[str, Any]


def same_text(answer: str, entry: Entry) -> bool:
    """The entry's answer, character by character."""
    return answer.strip() == str(entry["answer"]).strip()


def same_words(answer: str, entry: Entry) -> bool:
    """The entry's words in their order, whatever their case and the space between them."""
    return words(answer) == words(str(entry["answer"]))


def same_letters(answer: str, entry: Entry) -> bool:
    """The entry's letters in their order, whatever their case and spacing."""
    return "".join(words(answer)) == "".join(words(str(entry["answer"])))


def same_number(answer: str, entry: Entry) -> bool:
    """The entry's number, exactly."""
    given = number(answer)
    return given is not None and given == number(str(entry["answer"]))


def same_word_or_number(answer: str, entry: Entry) -> bool:
    """The entry's number when it is one, its words otherwise."""
    if number(str(entry["answer"])) is None:
        return same_words(answer, entry)
    return same_number(answer, entry)


# ---- one number, in the form of one dataset -----------------------------------------------------

_HEXADECIMAL = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,400}|[0-9]{1,400})")


def hexadecimal(answer: str, entry: Entry) -> bool:
    """The entry's whole number, hexadecimal or decimal."""
    answer = answer.strip()
    if not _HEXADECIMAL.fullmatch(answer):
        return False

    base = 16 if "x" in answer.lower() else 10
    return int(answer, base) == int(str(entry["answer"]), 16)


def candidate(answer: str, entry: Entry) -> bool:
    """The number that was to be picked, as the question or the entry writes it."""
    metadata = entry["metadata"]
    position = metadata["candidates"].index(metadata["solution"])
    allowed = (str(entry["answer"]), str(metadata["formatted_candidates"][position]))

    given = number(answer)
    return given is not None and given in [number(text) for text in allowed]


def probability(answer: str, entry: Entry) -> bool:
    """The exact fraction, or its rounding to four decimals or more."""
    parts = entry["metadata"]["rational"]
    exact = Fraction(int(parts["numerator"]), int(parts["denominator"]))
    if "/" in answer:
        return fraction(answer) == exact

    given = written(answer)
    return given is not None and rounds_to(given, exact, Fraction(1, 10_000))


_WHOLE = re.compile(r"[+-]?[0-9,]+")


def three_digits(answer: str, entry: Entry) -> bool:
    """The power, rounded to three significant digits or more; zeros may stand for the others."""
    metadata = entry["metadata"]
    exact = Fraction(str(metadata["base"])) ** int(metadata["exponent"])
    given = written(answer)
    if given is None:
        return False
    if given.value == Fraction(str(entry["answer"])):
        return True  # the reference, with all the digits of a floating-point number

    unit = given.unit
    if _WHOLE.fullmatch(answer.strip()):  # zeros at its end may be places that were rounded away
        digits = str(abs(given.value))
        unit = Fraction(10 ** (len(digits) - len(digits.rstrip("0"))))
    unit = min(unit, _unit_of(exact, 3))
    return abs(given.value - exact) <= unit / 2


def _unit_of(exact: Fraction, digits: int) -> Fraction:
    """The unit in the last place of a number that is rounded to so many significant digits."""
    if exact == 0:
        return Fraction(1)

    unit = Fraction(1)
    while abs(exact) >= unit * 10**digits:
        unit *= 10
    while abs(exact) < unit * 10 ** (digits - 1):
        unit /= 10
    return unit


_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")
_DIGITS_ASKED = re.compile(r"maximum of ([0-9]{1,3}) significant digits")
_MAX_EXPRESSION = 500


def all_digits(answer: str, entry: Entry) -> bool:
    """The entry's number, or the exact value rounded to the digits that are asked for, or to more.

    (The entry's own is rounded after every operation, so that its last digits may be off.)
    """
    reference = written(str(entry["answer"]))
    given = written(answer)
    if given is None or reference is None:
        return False
    if given.value == reference.value:
        return True

    question = str(entry["question"])
    asked = _DIGITS_ASKED.search(question)
    exact = _value_of_question(question)
    if asked is None or exact is None or abs(exact - reference.value) > 100 * reference.unit:
        return False

    unit = min(given.unit, _unit_of(exact, int(asked[1])))
    return abs(given.value - exact) <= unit / 2


def _value_of_question(question: str) -> Fraction | None:
    """The exact value of the expression on the last line of a question."""
    expression = question.strip().splitlines()[-1].partition("=")[0]
    if len(expression) > _MAX_EXPRESSION:
        return None

    def ratio(match: re.Match[str]) -> str:
        return f"({match[1]}{match[2]}/1{'0' * len(match[2])})"

    try:
        return evaluate(_DECIMAL.sub(ratio, expression))[0]
    except NotArithmetic:
        return None


# ---- several numbers ----------------------------------------------------------------------------

_PART = r"[0-9]{1,200}(?:\.[0-9]{1,200})?"
_COMPLEX = re.compile(
    rf"(?P<real>[+-]?{_PART}(?=[+-]|$))?(?:(?P<imaginary>[+-]?(?:{_PART})?)[ij])?"
)


def complex_number(answer: str, entry: Entry) -> bool:
    """The entry's number, as ``a + bi``; either part may be left out when it is 0."""
    text = re.sub(r"\s*([-+])\s*", r"\1", answer.strip().lower())
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()

    match = _COMPLEX.fullmatch(text) if text else None
    if match is None:
        return False

    imaginary = match["imaginary"]
    if imaginary in ("", "+", "-"):
        imaginary += "1"
    given = (number(match["real"] or "0"), number(imaginary or "0"))
    return given == tuple(map(Fraction, entry["metadata"]["result"]))


_SIMPLIFIED = re.compile(
    r"\\(?:frac|dfrac)\s*\{\s*([0-9]{1,100})\s*\}\s*\{\s*([0-9]{1,100})\s*\}"
    r"|([0-9]{1,100})\s*/\s*([0-9]{1,100})",
    re.IGNORECASE,
)


def simplified_fraction(answer: str, entry: Entry) -> bool:
    """The simplified numerator and denominator, as ``a/b`` or in LaTeX, and nothing after them."""
    match = _SIMPLIFIED.fullmatch(answer.strip().strip("$").strip())
    if match is None:
        return False

    metadata = entry["metadata"]
    parts = [int(part) for part in match.groups() if part is not None]
    return parts == [metadata["simplified_numerator"], metadata["simplified_denominator"]]


_FACTORS = re.compile(r"[0-9]{1,40}(?:\s*×\s*[0-9]{1,40})*")


def prime_factors(answer: str, entry: Entry) -> bool:
    """The entry's factors in any order, with × between them."""
    if not _FACTORS.fullmatch(answer.strip()):
        return False
    return sorted(map(int, answer.split("×"))) == sorted(entry["metadata"]["factors"])


def roots(answer: str, entry: Entry) -> bool:
    """The entry's numbers in any order, with commas between them, to its four decimals."""
    given = [number(part) for part in answer.split(",")]
    wanted = [number(part) for part in str(entry["answer"]).split(",")]
    return None not in given and Counter(given) == Counter(wanted)


_COUNTED = re.compile(r"(-?[0-9]{1,12})(?: days?)?")
_CLOCK = re.compile(r"([0-9]{1,6}):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{3}))?)?")
_LONG = re.compile(r"(-?[0-9]{1,12}) days?,\s*(\S+)")


def duration(answer: str, entry: Entry) -> bool:
    """The entry's duration: days, a clock, or both, with nothing before, between or after."""
    given = _milliseconds(answer.strip())
    return given is not None and given == _milliseconds(str(entry["answer"]).strip())


def _milliseconds(text: str) -> tuple[str, int] | None:
    """The kind of a duration and its length."""
    if match := _COUNTED.fullmatch(text):
        return "days", int(match[1])

    days = 0
    kind = "clock"
    if match := _LONG.fullmatch(text):
        days, text, kind = int(match[1]), match[2], "days and clock"

    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, thousandths = (int(part or 0) for part in match.groups())
    if kind == "days and clock" and hours >= 24:
        return None
    return kind, (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + thousandths


_POINT = re.compile(r"\(?\s*([^\s,()]+)\s*,\s*([^\s,()]+)\s*\)?")


def geometry(answer: str, entry: Entry) -> bool:
    """An angle to two decimals, coordinates to three, or the entry's radius."""
    metadata = entry["metadata"]
    kind = metadata["task_type"]

    if kind == "angle_measure":
        exact = Fraction(metadata["angle_ABC_degrees"])
        given = written(answer.replace("°", "", 1))
        return given is not None and rounds_to(given, exact, Fraction(1, 100))

    if kind == "orthocenter":
        match = _POINT.fullmatch(answer.strip())
        if match is None:
            return False
        for text, exact in zip(match.groups(), metadata["orthocenter_approx"], strict=True):
            given = written(text)
            if given is None or not rounds_to(given, Fraction(exact), Fraction(1, 1000)):
                return False
        return True

    return same_text(answer, entry)


def pooled(answer: str, entry: Entry) -> bool:
    """The entry's grid, each number rounded to two decimals or more."""
    rows = grid(answer)
    exact_rows = entry["metadata"]["solution"]
    if [len(row) for row in rows] != [len(row) for row in exact_rows]:
        return False

    for row, exact_row in zip(rows, exact_rows, strict=True):
        for cell, exact in zip(row, exact_row, strict=True):
            given = written(cell)
            if given is None or not rounds_to(given, Fraction(exact), Fraction(1, 100)):
                return False
    return True

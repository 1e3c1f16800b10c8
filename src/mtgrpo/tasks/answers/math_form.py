r"""Whether two answers in LaTeX have one form: what math-verify does not look at.

math-verify decides well whether two expressions are equal, and is too kind about what stands
around them: it passes over the base in ``4210_5`` and the percent sign, reads ``4=5`` as 5, takes a
tuple for a set, and compares tuples and sets within 6 decimals. `same_answer` takes answers apart
(tuples, intervals, sets, unions, matrices, equations), compares the forms here, and asks about the
parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

Equal = Callable[[str, str], bool]

MAX_PARTS = 30
"""Most parts of an answer that are compared one by one; longer ones are compared as a whole."""
MAX_UNORDERED = 12
"""Likewise for sets, where every part may be compared with every other."""

MAX_SIDES = 8
"""Most sides of a chain of equations."""

_OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
_CLOSING = frozenset(_OPENING.values())
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
_SPACING = re.compile(
    r"(\\\\)|\\(?:left|right|displaystyle|[bB]igg?[lr]?)(?![a-zA-Z])|\\[!,;: ]|~|\$"
)  # the first is the end of a matrix's row, which stays
_FRACTION = re.compile(r"\\[cdt]frac(?![a-zA-Z])")
_MEMBER = re.compile(r"[a-zA-Z]\s*\\in(?![a-zA-Z])\s*")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_AND = re.compile(r"(?:,\s*)?\\(?:text|mbox)\{\s*(?:and|or)\s*\}")
_MATRIX = re.compile(r"\\begin\{([a-zA-Z]*matrix|array)\}(.*)\\end\{\1\}", re.DOTALL)


def same_answer(reference: str, answer: str, equal: Equal) -> bool:
    """Whether an answer equals the reference, in form and value.

    Args:
        reference: The right answer.
        answer: Any text; its length and `MAX_PARTS` bound the number of comparisons.
        equal: Whether two expressions without such structure are equal.
    """
    reference, answer = tidy(reference), tidy(answer)
    if reference == answer:
        return True
    if not answer:
        return False

    return _Comparison(equal).compare(reference, answer)


def tidy(text: str) -> str:
    r"""`text` without ``\left`` and thin spaces, ``=`` or ``x \in`` before, a full stop after."""
    text = re.sub(r"([0-9])(?:\{,\}|,\\!)(?=[0-9])", r"\1,", text)
    text = _SPACING.sub(lambda match: match[1] or " ", text)
    text = _FRACTION.sub(r"\\frac", text).strip()
    text = _MEMBER.sub("", text.removeprefix("=").strip())
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].strip()
    return text


@dataclass(frozen=True)
class _Form:
    """What an answer is made of.

    Attributes:
        kind: ``()``, ``[)`` and the like, ``{}``, ``list``, ``union`` or ``matrix``; empty for a
            single expression.
        rows: The parts; more than one row for a matrix alone.
    """

    kind: str
    rows: list[list[str]]

    @property
    def parts(self) -> list[str]:
        return self.rows[0]


class _Comparison:
    def __init__(self, equal: Equal) -> None:
        self.equal = equal

    def compare(self, reference: str, answer: str) -> bool:
        wanted, given = _form(reference), _form(answer)
        kinds = {wanted.kind, given.kind}
        if kinds == {""}:
            return self.single(reference, answer)

        if len(kinds) == 1:
            ordered = wanted.kind not in ("{}", "list", "union")
            return self.same_rows(wanted.rows, given.rows, ordered)

        if "" in kinds or "union" in kinds:
            return self.equal(reference, answer)
        if kinds == {"list", "{}"}:
            return self.same_rows(wanted.rows, given.rows, ordered=False)
        if kinds in ({"list", "()"}, {"list", "[]"}):
            return self.same_rows(wanted.rows, given.rows, ordered=True)
        return False

    def same_rows(self, wanted: list[list[str]], given: list[list[str]], ordered: bool) -> bool:
        if [len(row) for row in wanted] != [len(row) for row in given]:
            return False

        most = MAX_PARTS if ordered else MAX_UNORDERED
        if sum(map(len, wanted)) > most:
            return [*map(_bare, chain(*wanted))] == [*map(_bare, chain(*given))]

        if ordered:
            pairs = zip(chain(*wanted), chain(*given), strict=True)
            return all(self.same_part(a, b) for a, b in pairs)

        remaining = list(given[0])
        for part in wanted[0]:
            match = next((other for other in remaining if self.same_part(part, other)), None)
            if match is None:
                return False
            remaining.remove(match)
        return True

    def same_part(self, reference: str, answer: str) -> bool:
        reference, answer = tidy(reference), tidy(answer)
        return reference == answer or (bool(answer) and self.compare(reference, answer))

    # ---- one expression -------------------------------------------------------------------------

    def single(self, reference: str, answer: str) -> bool:
        """Compare two expressions without commas: their relation, percent sign and base first."""
        if r"\approx" in answer and r"\approx" not in reference:
            answer, _, rough = answer.partition(r"\approx")
            if not _rounds(answer, rough):
                return False

        if "=" in _plain_relations(answer) or "=" in _plain_relations(reference):
            return self.equation(reference, answer)
        return self.expression(reference, answer)

    def equation(self, reference: str, answer: str) -> bool:
        """``x = 5`` is 5, and so is ``x = 2 + 3 = 5``; ``4 = 5`` is not."""
        wanted = [part.strip() for part in _split(reference, "=")]
        given = [part.strip() for part in _split(answer, "=")]
        if len(given) > MAX_SIDES or "" in given or "" in wanted:
            return False

        wanted_names = [part for part in wanted if _is_name(part)]
        wanted_values = [part for part in wanted if not _is_name(part)]
        given_names = [part for part in given if _is_name(part)]
        given_values = [part for part in given if not _is_name(part)]

        if len(wanted) == 1:
            values = given_values or given[-1:]
            return all(self.expression(reference, part) for part in values)

        named = len(wanted_names) == 1 and len(wanted_values) == 1
        if named and len(given) == 1:
            return self.expression(wanted_values[0], answer)
        if named and given_names and given_values:
            same_names = {_bare(name) for name in given_names} == {_bare(wanted_names[0])}
            return same_names and all(self.expression(wanted_values[0], v) for v in given_values)
        return self.equal(reference, answer)

    def expression(self, reference: str, answer: str) -> bool:
        """Compare two expressions without a relation: base and percent sign first."""
        reference, answer = _BASE_TEN.sub("", reference), _BASE_TEN.sub("", answer)

        wanted_base, given_base = _with_base(reference), _with_base(answer)
        if given_base is not None:
            return wanted_base == given_base
        if wanted_base is not None:
            return _bare(answer) == wanted_base[0]

        wanted, wanted_percent = _without_percent(reference)
        given, given_percent = _without_percent(answer)
        if given_percent and not wanted_percent:
            return self.equal(wanted, rf"\frac{{{given}}}{{100}}")
        if wanted_percent and not given_percent:
            hundredth = rf"\frac{{{wanted}}}{{100}}"
            return self.equal(wanted, given) or self.equal(hundredth, given)
        return self.equal(wanted, given)


# ---- taking answers apart -----------------------------------------------------------------------


def _form(text: str) -> _Form:
    matrix = _MATRIX.fullmatch(text)
    if matrix is not None and r"\begin" not in matrix[2]:
        rows = [row.split("&") for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        return _Form("matrix" if matrix[1] != "vmatrix" else "determinant", rows)

    union = _split(text, r"\cup")
    if len(union) > 1:
        return _Form("union", [union])

    enclosed = _enclosed(text)
    if enclosed is not None:
        kind, inside = enclosed
        parts = _split(inside, ",")
        if len(parts) > 1 or kind == "{}":
            return _Form(kind, [parts])

    if not _THOUSANDS.fullmatch(text):
        parts = _split(_AND.sub(",", text), ",")
        if len(parts) > 1:
            return _Form("list", [parts])
    return _Form("", [[text]])


def _enclosed(text: str) -> tuple[str, str] | None:
    """The brackets around all of a text, and what stands inside."""
    for opening in ("(", "[", r"\{"):
        for closing in (")", "]", r"\}"):
            if not (text.startswith(opening) and text.endswith(closing)):
                continue
            inside = text[len(opening) : len(text) - len(closing)]
            if len(text) > len(opening) + len(closing) - 1 and _balanced(inside):
                return (opening + closing).replace("\\", ""), inside
    return None


def _balanced(text: str) -> bool:
    depth = 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def _split(text: str, separator: str) -> list[str]:
    """`text` cut at a separator outside of brackets and braces."""
    parts: list[str] = [""]
    depth = 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENING) - (token in _CLOSING)
        if token == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _plain_relations(text: str) -> str:
    """`text` without the signs that are no sign of equality."""
    return re.sub(r"[<>!:]=|==|=[<>]", " ", text)


_NO_NAMES = r"pi(?![a-zA-Z])|frac|sqrt|infty|binom|log|ln|sin|cos|tan|exp"
_NAME = re.compile(
    rf"(?:\\(?!{_NO_NAMES})[a-zA-Z]+(?![a-zA-Z])\s*|[a-zA-Z]\s*|\([a-zA-Z]\)\s*|'\s*"
    r"|_\s*(?:\{[a-zA-Z0-9]*\}|[a-zA-Z0-9])\s*|\{[a-zA-Z .]*\}\s*)+"
)


def _is_name(text: str) -> bool:
    r"""Whether a side of an equation names the other one: ``x``, ``f(x)``, ``\angle ABC``."""
    return _NAME.fullmatch(text.strip()) is not None


_BASE = re.compile(r"(-?[0-9][0-9A-Za-z.,]*)_(?:\{([0-9]+)\}|([0-9]))")
_BASE_TEN = re.compile(r"(?<=[0-9])_\{10\}\s*$")


def _with_base(text: str) -> tuple[str, int] | None:
    """The digits and the base of a number like ``4210_5``."""
    match = _BASE.fullmatch(_bare(text))
    if match is None:
        return None
    return match[1], int(match[2] or match[3])


_PERCENT = re.compile(r"(.*?)\s*\\?%", re.DOTALL)


def _without_percent(text: str) -> tuple[str, bool]:
    match = _PERCENT.fullmatch(text)
    return (text, False) if match is None else (match[1], True)


def _bare(text: str) -> str:
    return "".join(text.split())


_PLAIN = re.compile(r"(-?)(?:([0-9,]*\.?[0-9]+)|\\frac\{([0-9]+)\}\{([0-9]+)\})")


def _rounds(exact: str, rough: str) -> bool:
    r"""Whether what stands after ``\approx`` is a number, and not far off when both are plain."""
    wanted, given = _plain_value(exact), _plain_value(rough)
    return given is not None and (wanted is None or abs(wanted - given) <= abs(wanted) / 20)


def _plain_value(text: str) -> Fraction | None:
    match = _PLAIN.fullmatch(_bare(text))
    if match is None:
        return None

    sign, decimal, top, bottom = match.groups()
    if decimal is not None:
        value = Fraction(decimal.replace(",", ""))
    elif int(bottom):
        value = Fraction(int(top), int(bottom))
    else:
        return None
    return -value if sign else value

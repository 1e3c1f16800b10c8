r"""Judges for `fuzz_scorers.py`, independent of the scorers: another lexer, another parser, no regular expression.

Each says whether a completion is right. They are read character by character, and where a text is ambiguous they give
it the benefit of the doubt: a scorer that is stricter loses a model some reward, one that is laxer pays for a wrong
answer. Only the second is what the campaign is after.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

SIGNS = {
    "×": "*",
    "·": "*",
    "∗": "*",
    "⋅": "*",
    "÷": "/",
    "∕": "/",
    "−": "-",
    "–": "-",
    "[": "(",
    "]": ")",
}
COMMANDS = {"times": "*", "cdot": "*", "ast": "*", "div": "/"}
FRACTIONS = ("frac", "dfrac", "tfrac", "cfrac")
LONGEST = 3_000
"""No right expression of a few numbers is longer, spaces apart; deep nesting would take the square of its length."""
MOST_IN_A_BOX = 20_000
"""Characters; the scorers' own bounds are lower."""
PLAIN_TEXT = ("text", "mbox", "textbf", "textit", "textrm", "mathrm", "mathbf", "mathit", "mathsf")


class Unreadable(Exception):
    """The text is nothing a right answer could look like."""


def opened_box(text: str) -> int:
    """Where the content of the last box begins, or -1; the bare word opens none."""
    at = text.rfind("\\boxed")
    while at >= 0:
        i = at + len("\\boxed")
        while i < len(text) and text[i].isspace() and i - at < len("\\boxed") + 4:
            i += 1

        if i < len(text) and text[i] == "{":
            return i + 1
        at = text.rfind("\\boxed", 0, at)
    return -1


def boxed(text: str) -> str:
    """What stands in the last box."""
    start = opened_box(text)
    if start < 0:
        raise Unreadable

    depth, i = 1, start
    while i < min(len(text), start + MOST_IN_A_BOX):
        if text[i] == "\\":
            i += 2
            continue

        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
        i += 1
    raise Unreadable


def shown(text: str) -> str:
    """The text as LaTeX would show it: commands that only say how something looks are spaces."""
    out: list[str] = []
    i, opened = 0, 0
    while i < len(text):
        c = text[i]
        if c in "$~":
            out.append(" ")
        elif c == "}" and opened:
            opened -= 1
            out.append(" ")
        elif c == "\\" and i + 1 < len(text) and not text[i + 1].isalpha():
            out.append(" " if text[i + 1] in ",;:! ()[]" else text[i : i + 2])
            i += 1
        elif c == "\\":
            j = i + 1
            while j < len(text) and text[j].isascii() and text[j].isalpha():
                j += 1
            name = text[i + 1 : j]
            after = j + (j < len(text) and text[j].isspace())
            if name in PLAIN_TEXT and after < len(text) and text[after] == "{":
                opened += 1
                out.append(" ")
                j = after + 1
            elif name in ("left", "right", "displaystyle", "quad", "qquad") or name.rstrip(
                "lr"
            ) in (*("big", "bigg", "Big", "Bigg"),):
                out.append(" ")
            else:
                out.append(f"\\{name} ")
            i = j - 1
        else:
            out.append(c)
        i += 1
    return "".join(out)


def same_words(completion: str, answer: str) -> bool:
    """Whether the box shows the words of the answer, whatever their case."""
    try:
        inside = " ".join(boxed(completion).split())
    except Unreadable:
        return False
    if len(inside) > LONGEST:
        return False
    found = shown(inside)
    return bool(found.split()) and [w.casefold() for w in found.split()] == [
        w.casefold() for w in answer.split()
    ]


# ---- arithmetic ------------------------------------------------------------------------------------------------
def right_expression(expression: str, numbers: Sequence[int], target: Fraction | int) -> bool:
    """Whether an expression has the value and uses exactly the numbers; a result may follow after ``=``."""
    try:
        plain = " ".join(shown(expression).split()).removesuffix(".")
        left, equals, result = plain.partition("=")
        if len(left) > LONGEST:
            return False
        if equals and number(result) != target:
            return False
        value, used = reckon(lex(left))
    except (Unreadable, ValueError, RecursionError):
        return False
    return value == target and sorted(used) == sorted(numbers)


def number(text: str) -> Fraction:
    """A whole number, a fraction or a decimal, whatever groups its digits; of exponents short ones."""
    text = "".join(c for c in text.casefold().strip() if c not in ",_")
    if len(text) > 100 or len(text.partition("e")[2].strip("+-0")) > 2 or text.endswith("/0"):
        raise Unreadable
    return Fraction(text)


def lex(text: str) -> list[str]:
    """Numbers, signs and parentheses; a fraction becomes ``((a)/(b))``."""
    tokens: list[str] = []
    i = 0
    while i < len(text):
        c = text[i]
        if c.isspace():
            i += 1
        elif c in "0123456789":
            j = i
            while j < len(text) and text[j] in "0123456789":
                j += 1
            tokens.append(text[i:j])
            i = j
        elif c in "+-*/()":
            tokens.append(c)
            i += 1
        elif c in SIGNS:
            tokens.append(SIGNS[c])
            i += 1
        elif c in "xX" and not text[i - 1 : i].isalpha() and not text[i + 1 : i + 2].isalpha():
            tokens.append("*")
            i += 1
        elif c == "\\":
            j = i + 1
            while j < len(text) and text[j].isalpha() and text[j].isascii():
                j += 1
            name = text[i + 1 : j]
            if name in COMMANDS:
                tokens.append(COMMANDS[name])
                i = j
            elif name in FRACTIONS:
                top, j = braces(text, j)
                bottom, i = braces(text, j)
                tokens += ["(", "(", *lex(top), ")", "/", "(", *lex(bottom), ")", ")"]
            else:
                raise Unreadable
        else:
            raise Unreadable
    return tokens


def braces(text: str, i: int) -> tuple[str, int]:
    """What stands in the braces from here, and the place after them."""
    while i < len(text) and text[i].isspace():
        i += 1
    if i >= len(text) or text[i] != "{":
        raise Unreadable
    depth, start = 0, i + 1
    while i < len(text):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        i += 1
        if depth == 0:
            return text[start : i - 1], i
    raise Unreadable


RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 1}


def reckon(tokens: Sequence[str]) -> tuple[Fraction, list[int]]:
    """Value and numbers, by two stacks."""
    values: list[Fraction] = []
    signs: list[str] = []
    used: list[int] = []

    def apply() -> None:
        sign = signs.pop()
        if not values or sign == "(":
            raise Unreadable
        b = values.pop()
        if sign == "neg":
            values.append(-b)
            return
        if not values:
            raise Unreadable
        a = values.pop()
        if sign == "/" and b == 0:
            raise Unreadable
        values.append(
            a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b
        )

    wants_value = True
    for token in tokens:
        if wants_value:
            if token[0] in "0123456789":
                used.append(int(token))
                values.append(Fraction(used[-1]))
                wants_value = False
            elif token == "(":
                signs.append("(")
            elif token == "-":
                signs.append("neg")
            else:
                raise Unreadable
            continue
        if token == ")":
            while signs and signs[-1] != "(":
                apply()
            if not signs:
                raise Unreadable
            signs.pop()
        elif token in RANK:
            while signs and signs[-1] != "(" and RANK[signs[-1]] >= RANK[token]:
                apply()
            signs.append(token)
            wants_value = True
        else:
            raise Unreadable
    if wants_value:
        raise Unreadable
    while signs:
        apply()
    if len(values) != 1:
        raise Unreadable
    return values[0], used


# ---- other answers ---------------------------------------------------------------------------------------------
def last_answer(text: str) -> str:
    """What stands last of a box and a pair of answer tags; of a box inside tags, the box."""
    end = text.rfind("</answer>")
    if end < 0 or opened_box(text[end:]) >= 0:
        return plain(boxed(text))

    start = text.rfind("<answer>", 0, end)
    if start < 0:
        raise Unreadable

    inside = text[start + len("<answer>") : end]
    if opened_box(inside) >= 0:
        return plain(boxed(inside))
    words = inside.split("\\boxed")
    joined = words[0]
    for word in words[1:]:
        joined += (" " if not word[:1].isascii() or not word[:1].isalpha() else "\\boxed") + word
    return plain(joined)


def plain(answer: str) -> str:
    """An answer without a text command around all of it, and without a backslash and space after."""
    for _ in range(8):
        inner = answer.strip()
        command, brace, rest = inner.partition("{")
        if not brace or not rest.endswith("}") or command.strip()[1:] not in PLAIN_TEXT:
            break

        depth = 0
        for c in rest[:-1]:
            depth += {"{": 1, "}": -1}.get(c, 0)
            if depth < 0:
                break
        if depth:
            break
        answer = rest[:-1]

    stripped = answer.strip()
    if stripped.endswith("\\") and answer[-1:].isspace():
        stripped = stripped[:-1].strip()
    return stripped


def same_answer(text: str, reference: str) -> bool:
    """Whether the answer is the reference: as words, whatever their case, or as a number."""
    try:
        found = last_answer(text)
    except Unreadable:
        return False
    if found.casefold().split() == reference.casefold().split():
        return True
    try:
        return number(found) == number(reference)
    except (Unreadable, ValueError, ZeroDivisionError):
        return False


def queens(text: str, size: int, given: Sequence[Sequence[str]]) -> bool:
    """Whether a board has one queen in every row and column, none on a common diagonal, and keeps those given."""
    rows = [
        [c for c in line if c in "Q_"] for line in last_answer(text).replace("]", "\n").splitlines()
    ]
    board = [row for row in rows if row]
    if [len(row) for row in board] != [size] * size:
        return False
    places = [(r, c) for r in range(size) for c in range(size) if board[r][c] == "Q"]
    kept = all(board[r][c] == "Q" for r in range(size) for c in range(size) if given[r][c] == "Q")
    lines = (
        {r for r, _ in places},
        {c for _, c in places},
        {r - c for r, c in places},
        {r + c for r, c in places},
    )
    return kept and len(places) == size and all(len(line) == size for line in lines)


def complex_number(text: str) -> tuple[Fraction, Fraction]:
    """Real and imaginary part: two numbers, the second before an ``i`` or ``j``; either may be missing."""
    text = "".join(text.split()).casefold()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    if not text.endswith(("i", "j")):
        return number(text), Fraction(0)
    text = text[:-1]
    cut = max(text.rfind("+"), text.rfind("-"), 0)
    real, imaginary = text[:cut], text[cut:]
    if imaginary in ("", "+", "-"):
        imaginary += "1"
    return number(real or "0"), number(imaginary)


# ---- formulas --------------------------------------------------------------------------------------------------
BINDS = {"↔": 1, "→": 2, "∨": 3, "∧": 4, "¬": 5}


def formula(text: str, variables: Sequence[str]) -> list[str]:
    """A formula in Polish notation, read backwards: operands before their sign. Equal signs group to the left."""
    out: list[str] = []
    signs: list[str] = []
    wants_value = True
    for token in text:
        if token.isspace():
            continue
        if wants_value:
            if token in variables:
                out.append(token)
                wants_value = False
            elif token in ("(", "¬"):
                signs.append(token)
            else:
                raise Unreadable
        elif token == ")":
            while signs and signs[-1] != "(":
                out.append(signs.pop())
            if not signs:
                raise Unreadable
            signs.pop()
        elif token in BINDS and token != "¬":
            while signs and signs[-1] != "(" and BINDS[signs[-1]] >= BINDS[token]:
                out.append(signs.pop())
            signs.append(token)
            wants_value = True
        else:
            raise Unreadable
    if wants_value or "(" in signs:
        raise Unreadable
    return out + signs[::-1]


def table(tokens: Sequence[str], variables: Sequence[str]) -> int:
    """The truth table of a formula: bit i says whether it holds under the i-th of all assignments."""
    rows = 1 << len(variables)
    every = (1 << rows) - 1
    columns = {
        v: sum(1 << row for row in range(rows) if row >> i & 1) for i, v in enumerate(variables)
    }
    stack: list[int] = []
    for token in tokens:
        if token in columns:
            stack.append(columns[token])
        elif token == "¬":
            stack.append(every ^ stack.pop())
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(
                {
                    "∧": left & right,
                    "∨": left | right,
                    "→": (every ^ left) | right,
                    "↔": every ^ left ^ right,
                }[token]
            )
    return stack.pop()


def follows(answer: str, premises: Sequence[str], variables: Sequence[str]) -> bool:
    """Whether a formula follows from the premises and says something: it is not true whatever the variables are."""
    answer = "".join(answer.split())
    if len(answer) > 1_000:
        raise Unreadable
    every = (1 << (1 << len(variables))) - 1
    given = every
    for premise in premises:
        given &= table(formula(premise, variables), variables)
    says = table(formula(answer, variables), variables)
    return given & ~says == 0 and says != every

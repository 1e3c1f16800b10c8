"""A small, total evaluator for the arithmetic that models write. Nothing is ever handed to `eval`.

Grammar (LaTeX is rewritten beforehand: `mtgrpo.tasks.answers.latex`):

```
sum      = "-"? product (("+" | "-") product)*
product  = factor (("*" | "/") factor)*
factor   = digits | "(" sum ")"
```

There are decimal integers only: ``8.73`` is not in the language, nor are ``**``, ``//``, ``--3``,
names or two factors side by side. A minus may stand at the start of a sum (``-3 + 5``), where it
changes no number that is used. Values are exact fractions. Every limit below bounds the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

MAX_DIGITS = 12
"""Longest number that is read, in digits."""
MAX_NUMBERS = 64
"""Most numbers in one expression: with `MAX_DIGITS`, no value exceeds 768 digits on either side."""
MAX_DEPTH = 32
"""Deepest nesting of parentheses."""

_TOKEN = re.compile(r"\s*([0-9]+|[-+*/()])")


class NotArithmetic(ValueError):
    """The text is not in the language, is too large, or divides by zero."""


def evaluate(text: str) -> tuple[Fraction, list[int]]:
    """The exact value of an expression and the numbers in it, from left to right.

    Raises:
        NotArithmetic: The text is no such expression. Nothing else is ever raised.
    """
    return _Parser(text).parse()


def _tokens(text: str) -> Iterator[str]:
    position = 0
    end = len(text.rstrip())

    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotArithmetic(f"unexpected {text[position]!r}")

        yield match.group(1)
        position = match.end()


class _Parser:
    """Recursive descent; `MAX_DEPTH` bounds the recursion."""

    def __init__(self, text: str) -> None:
        self.tokens = [*_tokens(text), ""]
        self.position = 0
        self.numbers: list[int] = []

    def parse(self) -> tuple[Fraction, list[int]]:
        value = self.sum(0)
        if self.tokens[self.position]:
            raise NotArithmetic(f"unexpected {self.tokens[self.position]!r}")
        return value, self.numbers

    def take(self) -> str:
        token = self.tokens[self.position]
        if token:
            self.position += 1
        return token

    def sum(self, depth: int) -> Fraction:
        negative = self.tokens[self.position] == "-"
        if negative:
            self.take()

        value = self.product(depth)
        if negative:
            value = -value

        while self.tokens[self.position] in ("+", "-"):
            if self.take() == "+":
                value += self.product(depth)
            else:
                value -= self.product(depth)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.factor(depth)

        while self.tokens[self.position] in ("*", "/"):
            if self.take() == "*":
                value *= self.factor(depth)
                continue

            divisor = self.factor(depth)
            if divisor == 0:
                raise NotArithmetic("division by zero")
            value /= divisor
        return value

    def factor(self, depth: int) -> Fraction:
        token = self.take()

        if token == "(":
            if depth >= MAX_DEPTH:
                raise NotArithmetic("nested too deeply")
            value = self.sum(depth + 1)
            if self.take() != ")":
                raise NotArithmetic("a parenthesis is not closed")
            return value

        if not token.isdecimal() or len(token) > MAX_DIGITS or len(self.numbers) >= MAX_NUMBERS:
            raise NotArithmetic(f"unexpected {token[:20]!r}")
        self.numbers.append(int(token))
        return Fraction(self.numbers[-1])

"""Near misses: the right answer, changed where it hurts. Used by `fuzz_near_misses.py`.

Every mutation is named. Whether what comes out is wrong, an oracle decides (`fuzz_near_oracles.py`):
a swap of two equal numbers changes nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?")
TOKEN = re.compile(r"[A-Za-z]+|[0-9]+|\s+|.", re.DOTALL)
HEDGES = (
    "{right} or {other}",
    "{other} or {right}",
    "{right}, {other}",
    "{right} {other}",
    "{other} {right}",
    "{right}\n{other}",
    "{right}; {other}",
    "{right} ({other})",
    "either {right} or {other}",
    "not {right}",
    "It is false that {right}",
    "{right} is wrong",
    "{right}? No, {other}",
    "{right} and more",
    "{right} {right}",
    "{right}{right}",
)
SIGNS = "+-*/^%!=<>~"


def mutate(rng: random.Random, right: str, others: Sequence[str]) -> tuple[str, str]:
    """The name of a mutation and what it makes of the right answer."""
    name = rng.choice(NAMES)
    text = MUTATIONS[name](rng, right, others)
    if rng.random() < 0.15:
        second = rng.choice(NAMES)
        name, text = f"{name}+{second}", MUTATIONS[second](rng, text, others)
    return name, text[:9_000]


# ---- numbers ------------------------------------------------------------------------------------
def change_number(rng: random.Random, text: str, change: Callable[[str], str]) -> str:
    """The text with one of its numbers changed; without a number, as it is."""
    places = list(NUMBER.finditer(text))
    if not places:
        return text

    place = rng.choice(places)
    return text[: place.start()] + change(place.group()) + text[place.end() :]


def off_by_one(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A unit in the last place that is written."""
    return change_number(rng, text, lambda n: _last_place(n, rng.choice((-1, 1))))


def _last_place(number: str, by: int) -> str:
    mantissa, e, exponent = number.partition("e")
    value = Decimal(mantissa)
    unit = Decimal(1).scaleb(value.as_tuple().exponent)
    return f"{value + by * unit:f}{e}{exponent}"


def off_by_little(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A part in a hundred to a billion, or some absolute amount."""
    amounts = ("0.01", "0.001", "1e-4", "9e-4", "1e-6", "1e-9", "0.009", "0.5", "1", "10")

    def change(number: str) -> str:
        mantissa, e, exponent = number.partition("e")
        value = Decimal(mantissa)
        amount = Decimal(rng.choice(amounts))
        if rng.random() < 0.5:
            amount *= abs(value)
        changed = value + amount if rng.random() < 0.5 else value - amount
        return f"{changed:f}{e}{exponent}"

    return change_number(rng, text, change)


def flip_sign(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Another sign."""
    return change_number(rng, text, lambda n: n[1:] if n.startswith("-") else f"-{n}")


def change_digits(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A digit dropped, doubled, changed or swapped with the next; the point moved."""

    def change(number: str) -> str:
        digits = list(number)
        i = rng.randrange(len(digits))
        act = rng.randrange(5)
        if act == 0:
            del digits[i]
        elif act == 1:
            digits.insert(i, digits[i])
        elif act == 2:
            digits[i] = str(rng.randrange(10))
        elif act == 3 and i + 1 < len(digits):
            digits[i], digits[i + 1] = digits[i + 1], digits[i]
        else:
            plain = number.replace(".", "")
            cut = rng.randrange(1, len(plain) + 1)
            return plain[:cut] + "." + plain[cut:]
        return "".join(digits)

    return change_number(rng, text, change)


def write_number(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A number in another writing, which some readers take for it or for a part of it."""

    def change(number: str) -> str:
        return rng.choice(
            [
                f"{number[:1]},{number[1:]}",
                f"{number[:1]} {number[1:]}",
                f"{number[:1]}_{number[1:]}",
                f"{number}%",
                f"{number}0",
                f"{number}e1",
                f"{number}/2",
                f"{number}*2",
                f"{number}.{number}",
                f"{number}:{number}",
                f"0x{number}",
                f"{number}_6",
                f"1{number}",
                f"{number}-{number}",
                f"{number}+1",
                f"true{number}",
                "true",
                "null",
                "NaN",
                "[]",
            ]
        )

    return change_number(rng, text, change)


# ---- tokens and lines ---------------------------------------------------------------------------
def change_token(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A token dropped, doubled, swapped with another, or taken from another answer."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return text

    i = rng.randrange(len(tokens))
    act = rng.randrange(5)
    if act == 0:
        del tokens[i]
    elif act == 1:
        tokens.insert(i, tokens[i])
    elif act == 2:
        j = rng.randrange(len(tokens))
        tokens[i], tokens[j] = tokens[j], tokens[i]
    elif act == 3:
        foreign = TOKEN.findall(rng.choice(others)) or ["x"]
        tokens[i] = rng.choice(foreign)
    else:
        tokens.insert(i, rng.choice((*SIGNS, "x", "0", "1", " ", ",", "not ", '"', "]")))
    return "".join(tokens)


def change_word(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A word dropped, doubled, swapped with another, or reversed."""
    words = re.split(r"(\s+)", text)
    places = range(0, len(words), 2)
    i, j = rng.choice(places), rng.choice(places)
    act = rng.randrange(4)
    if act == 0:
        words[i] = ""
    elif act == 1:
        words[i] = f"{words[i]} {words[i]}"
    elif act == 2:
        words[i], words[j] = words[j], words[i]
    else:
        words[i] = words[i][::-1]
    return "".join(words)


def change_line(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A line dropped, doubled, swapped with another, taken from another answer, or cut in two."""
    lines = text.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    act = rng.randrange(6)
    if act == 0:
        del lines[i]
    elif act == 1:
        lines.insert(i, lines[i])
    elif act == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif act == 3:
        lines.insert(i, rng.choice(rng.choice(others).split("\n")))
    elif act == 4:
        lines[i] = lines[i].replace(" ", "\n", 1)
    else:
        lines[i : i + 2] = [" ".join(lines[i : i + 2])]
    return "\n".join(lines)


def change_item(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Of what stands between commas or arrows: one dropped, doubled, swapped, moved or nested."""
    parts = re.split(r"(\s*(?:,|→|×)\s*)", text)
    places = range(0, len(parts), 2)
    i, j = rng.choice(places), rng.choice(places)
    act = rng.randrange(6)
    if act == 0:
        del parts[i : i + 2]
    elif act == 1:
        parts[i:i] = [parts[i], parts[1] if len(parts) > 1 else ", "]
    elif act == 2:
        parts[i], parts[j] = parts[j], parts[i]
    elif act == 3:
        parts[i] = parts[j]
    elif act == 4:
        parts[i] = f"[{parts[i]}]"
    else:
        parts = parts[::-1]
    return "".join(parts)


def change_letter(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A character dropped, doubled, changed, or swapped with the next."""
    if not text:
        return text

    i = rng.randrange(len(text))
    act = rng.randrange(5)
    if act == 0:
        return text[:i] + text[i + 1 :]
    if act == 1:
        return text[:i] + text[i] + text[i:]
    if act == 2:
        return text[:i] + text[i + 1 : i + 2] + text[i] + text[i + 2 :]
    if act == 3:
        return text[:i] + rng.choice(text) + text[i + 1 :]
    return text[:i] + chr(ord(text[i]) ^ 1) + text[i + 1 :]


# ---- the whole ----------------------------------------------------------------------------------
def cut(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A part of the answer: its beginning, its end, or its middle."""
    i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return rng.choice((text[:i], text[i:], text[i:j], text[:i] + text[j:]))


def hedge(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Several answers, a denial, or the answer twice."""
    return rng.choice(HEDGES).format(right=text, other=rng.choice(others))


def foreign(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """Another row's answer."""
    return rng.choice(others)


def reorder(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """The whole answer backwards: its characters, words or lines, or its words shuffled."""
    words = text.split()
    act = rng.randrange(4)
    if act == 0:
        return text[::-1]
    if act == 1:
        return " ".join(reversed(words))
    if act == 2:
        return "\n".join(reversed(text.split("\n")))
    rng.shuffle(words)
    return " ".join(words)


def extend(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """More of the same kind at the end or the beginning, inside the last bracket or after it."""
    other = rng.choice(others)
    more = rng.choice((other, other.split()[0] if other.split() else "x", "1", "0", "a", '"a"'))
    act = rng.randrange(4)
    if act == 0:
        return text + rng.choice((" ", "\n", ", ", "", " → ", " × ", "=")) + more
    if act == 1:
        return more + rng.choice((" ", "\n", ", ", "")) + text
    if act == 2 and text.endswith(("]", "}", ")")):
        return f"{text[:-1]}, {more}{text[-1]}"
    return text + rng.choice((".0", ".5", "!", "%", "x", "'", "2", "]", "}", "\n\n1"))


def key_twice(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """In JSON, a key twice, once with another value; elsewhere, ``a=1`` once more with another."""
    pair = re.search(r'("[^"]*"): *("[^"]*"|-?[0-9.]+)', text)
    if pair is not None:
        return f"{text[: pair.start()]}{pair[1]}: 987, {text[pair.start() :]}"

    pair = re.search(r"([A-Z])=([0-9])", text)
    if pair is not None:
        return f"{pair[1]}={(int(pair[2]) + 1) % 10},{text}"
    return text


MUTATIONS: dict[str, Callable[[random.Random, str, Sequence[str]], str]] = {
    function.__name__: function
    for function in (
        off_by_one,
        off_by_little,
        flip_sign,
        change_digits,
        write_number,
        change_token,
        change_word,
        change_line,
        change_item,
        change_letter,
        cut,
        hedge,
        foreign,
        reorder,
        extend,
        key_twice,
    )
}
NAMES = list(MUTATIONS)

r"""Completions for `fuzz_scorers.py`: right ones, nearly right ones, and what only an enemy would write."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz_cases import Case

STRATEGIES = {"right": 5, "near_miss": 35, "corpus": 30, "grammar": 20, "bomb": 10}
"""How a completion is made, with its weight."""

TOKENS = re.compile(r"\\[A-Za-z]+|[0-9]+|[A-Za-z]+|\s+|.", re.DOTALL)
NASTY = [
    *(
        "{",
        "}",
        "\\{",
        "\\}",
        "$",
        "\\boxed{",
        "}}",
        "<answer>",
        "</answer>",
        "\\text{",
        "\\frac{1}{2}",
        "\\left(",
        "[[",
    ),
    *(
        "**",
        "//",
        "--",
        "^",
        "!",
        "e9",
        "1e999999999",
        "0x1F",
        "1_0",
        ".5",
        "8.73",
        "%",
        "=",
        "==",
        "=24",
        "= 1000",
    ),
    *(
        "\\times",
        "\\cdot ",
        "\\div",
        "×",
        "÷",
        "−",
        "∕",
        "⋅",
        "\u200b",
        "\u202e",
        "\u0000",
        "\ud800",
        "\ufeff",
        "٣",
        "３",
    ),
    *(
        "½",
        "²",
        "ⅷ",
        "ﬁ",
        "ß",
        "İ",
        "\\sqrt{2}",
        "\\,",
        "\\ ",
        "~",
        "nan",
        "inf",
        "None",
        "True",
        "__import__('os')",
    ),
    *(
        "#",
        ";",
        "\n",
        "\r",
        "\t",
        "\x0b",
        "\x1c",
        "\u2028",
        "lambda:0",
        "<script>",
        "{{7*7}}",
        "%s%n",
        "'",
        '"',
        "\\",
    ),
    *(
        "３",
        "[[",
        "(",
        ")",
        "()",
        "+",
        "-",
        "*",
        "/",
        " ",
        "0",
        "1",
        "7",
        "10",
        "99",
        "100",
        "999999999999",
        "1" * 13,
        "Q",
        "_",
    ),
]
WORDS = (
    "the answer is",
    "so we get",
    "wait no",
    "let me check",
    "User:",
    "Assistant:",
    "step 7",
    "= 12",
    "boxed",
)


def make_text(rng: random.Random, strategy: str, case: Case, corpus: list[str]) -> str:
    """One completion."""
    if strategy == "right":
        return wrap(rng, rewrite(rng, case), case, plain=True)
    if strategy == "bomb":
        return bomb(rng, case)
    if strategy == "corpus" and corpus:
        return havoc(rng, rng.choice(corpus), corpus)
    if strategy == "grammar":
        return wrap(rng, invent(rng, case), case)
    return wrap(rng, near_miss(rng, case), case)


def wrap(rng: random.Random, answer: str, case: Case, *, plain: bool = False) -> str:
    """An answer as a completion: boxed or in tags, after some words, and rarely before others."""
    before = " ".join(rng.choices(WORDS, k=rng.randrange(6)))
    if case.tags and rng.random() < 0.4 and "answer>" not in answer:
        text = f"<answer>{answer}</answer>"
    elif case.tags and plain and (answer.count("{") or answer.count("}") or answer.count("\\")):
        text = f"<answer>{answer}</answer>"  # a box cannot hold every answer
    else:
        text = f"\\boxed{{{answer}}}"
    if not plain and rng.random() < 0.15:
        text = rng.choice(
            [
                f"\\boxed{{{case.right}}} or {text}",
                f"{text} no: \\boxed{{{rng.choice(NASTY)}}}",
                answer,
            ]
        )
    return f"{before} {text}{rng.choice(['', '.', ' ', chr(10), ' done'])}"


def rewrite(rng: random.Random, case: Case) -> str:
    """The right answer in another form that means the same to every reader."""
    text = case.right
    if case.kind == "arithmetic":
        if rng.random() < 0.5:
            text = re.sub(
                r"\s*([-+*/])\s*",
                lambda m: rng.choice(["", " "]) + m[1] + rng.choice(["", " "]),
                text,
            )
        if rng.random() < 0.3:
            text = text.replace("*", rng.choice(["\\times ", "\\cdot ", "×"]))
        if rng.random() < 0.2:
            text = f"({text})"
        if rng.random() < 0.2 and not case.tags:
            text = f"${text}$"
    elif case.kind == "words" and not case.tags and case.family != "science/choice":
        if rng.random() < 0.3:
            text = text.upper()
        if rng.random() < 0.3:
            text = f"\\text{{{text}}}"
        if rng.random() < 0.3:
            text = f"  {text.replace(' ', '  ')} "
    return text


def near_miss(rng: random.Random, case: Case) -> str:
    """The right answer with one to three of its tokens changed."""
    tokens = TOKENS.findall(case.right) or [""]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        i = rng.randrange(len(tokens))
        act = rng.randrange(8)
        if act == 0:
            tokens[i] = ""
        elif act == 1:
            tokens.insert(i, rng.choice(tokens))
        elif act == 2:
            j = rng.randrange(len(tokens))
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif act == 3 and tokens[i].isascii() and tokens[i].isdigit():
            tokens[i] = str(max(0, int(tokens[i]) + rng.choice([-10, -1, 1, 10])))
        elif act == 4:
            tokens[i] = (
                rng.choice(["+", "-", "*", "/"]) if tokens[i] in "+-*/" else tokens[i].swapcase()
            )
        elif act == 5:
            tokens.insert(i, rng.choice(NASTY))
        elif act == 6:
            tokens[i] = tokens[i][::-1]
        else:
            tokens = TOKENS.findall(rng.choice(case.others)) or [""]
    return "".join(tokens)


def invent(rng: random.Random, case: Case) -> str:
    """A text of the right answer's language, with its own words or numbers."""
    own = [t for t in TOKENS.findall(case.right) if not t.isspace()] or ["1"]
    if case.kind == "arithmetic":
        numbers = [t for t in own if t.isdigit()]
        rng.shuffle(numbers)
        if rng.random() < 0.3:
            numbers[rng.randrange(len(numbers))] = str(rng.randrange(1000))
        parts = numbers
        while len(parts) > 1:
            a, b = parts.pop(), parts.pop()
            sign = rng.choice(["+", "-", "*", "/", "\\times ", "\\div "])
            made = rng.choice(
                [f"({a}{sign}{b})", f"{a} {sign} {b}", f"\\frac{{{a}}}{{{b}}}", f"[{a}{sign}{b}]"]
            )
            parts.insert(rng.randrange(len(parts) + 1), made)
        return parts[0] + rng.choice(["", "", f" = {rng.randrange(1000)}"])
    words = rng.choices(own, k=rng.randrange(1, len(own) + 2))
    return rng.choice([" ", "", ", ", "\n"]).join(words)


def havoc(rng: random.Random, text: str, corpus: list[str]) -> str:
    """A text that reached something new, cut up and patched."""
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        act = rng.randrange(6)
        if act == 0:
            text = text[:i] + text[j:]
        elif act == 1:
            text = text[:i] + rng.choice(NASTY) + text[i:]
        elif act == 2:
            text = text[:j] + text[i:j] * rng.choice([1, 2, 5]) + text[j:]
        elif act == 3 and text:
            i = min(i, len(text) - 1)
            text = (
                text[:i] + chr((ord(text[i]) ^ (1 << rng.randrange(7))) % 0x110000) + text[i + 1 :]
            )
        elif act == 4:
            other = rng.choice(corpus)
            text = text[:i] + other[rng.randrange(len(other) + 1) :]
        else:
            text = text[:i] + text[i:j].swapcase() + text[j:]
    return text[:4_000]


def bomb(rng: random.Random, case: Case) -> str:
    """Something large, deep or explosive; one in fifty is really large."""
    n = (
        rng.choice([10, 100, 1_000, 5_000])
        if rng.random() < 0.98
        else rng.choice([50_000, 200_000])
    )
    piece = rng.choice(NASTY)
    make = rng.choice(
        [  # made when it is chosen: some take milliseconds
            lambda: "(" * n + "1" + ")" * n,
            lambda: "9**" * n + "9",
            lambda: "9^{" * n + "9" + "}" * n,
            lambda: "{" * n + case.right + "}" * n,
            lambda: "-" * n + "1",
            lambda: "1+" * n + "1",
            lambda: "1/" * n + "0",
            lambda: "9" * n,
            lambda: f"1e{'9' * min(n, 100)}",
            lambda: "\\frac{1}{" * n + "2" + "}" * n,
            lambda: "\\text{" * n + case.right + "}" * n,
            lambda: "\\left(" * n + case.right + "\\right)" * n,
            lambda: "[" * n + "]" * n,
            lambda: "{" + "'a':" * n + "}",
            lambda: "!" * n + "~" * n + "¬" * n,
            lambda: piece * n,
            lambda: (case.right + " ") * (1 + 10 * n // (1 + len(case.right))),
            lambda: "".join(
                chr(rng.choice([rng.randrange(0x250), rng.randrange(0x110000)]))
                for _ in range(min(n, 5_000))
            ),
            lambda: " " * n + case.right + " " * n,
        ]
    )
    inside = make()
    finish = rng.choice(
        [
            lambda: f"\\boxed{{{inside}}}",
            lambda: f"<answer>{inside}</answer>",
            lambda: inside,
            lambda: "\\boxed{" * n + inside,
            lambda: f"\\boxed{{{inside}",
            lambda: "<answer>" * n + inside + "</answer>" * n,
            lambda: f"\\boxed{{{case.right}}}" + inside,
            lambda: "\\boxed" * n + f"{{{inside}}}",
        ]
    )
    return finish()

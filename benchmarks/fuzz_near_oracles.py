"""Which near misses are wrong: an oracle for each of reasoning-gym's 106 datasets.

Written independently of the scorers and of the vets in mtgrpo: numbers are worked out again from
the question or the metadata where that can be done, moves are played, constraints checked. An
oracle says whether an answer is right; where a text may be read in two ways, it says right: only
what no reader takes for right counts as a near miss.
"""

from __future__ import annotations

import ast
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

import fuzz_near_games as games
import fuzz_oracles
import mpmath

Entry = Mapping[str, Any]
Oracle = Callable[[str, Entry], bool]


def is_right(dataset: str, answer: str, entry: Entry) -> bool:
    """Whether the dataset's oracle takes an answer for right."""
    try:
        return ORACLES[dataset](answer, entry)
    except (
        ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError,
        SyntaxError, RecursionError, OverflowError, fuzz_oracles.Unreadable,
    ):  # fmt: skip
        return False


def name_of(dataset: str) -> str:
    """What the oracle does, in a word or two."""
    return ORACLES[dataset].__name__.strip("_").replace("_", " ")


# ---- reading numbers ----------------------------------------------------------------------------
def value(text: str) -> Fraction:
    """A number, read character by character; ValueError for anything else."""
    text = text.strip()
    mantissa, e, exponent = text.lower().partition("e")
    if e and not exponent.lstrip("+-").isdecimal():
        raise ValueError
    whole, _, decimals = mantissa.lstrip("+-").partition(".")
    if len(mantissa) - len(mantissa.lstrip("+-")) > 1 or len(exponent) > 4:
        raise ValueError
    groups = whole.split(",")
    if len(groups) > 1 and (not 1 <= len(groups[0]) <= 3 or any(len(g) != 3 for g in groups[1:])):
        raise ValueError
    digits = "".join(groups) + decimals
    if not digits or any(c not in "0123456789" for c in digits):
        raise ValueError
    sign = -1 if mantissa.startswith("-") else 1
    return sign * int(digits) * Fraction(10) ** (int(exponent or 0) - len(decimals))


def last_place(text: str) -> Fraction:
    """The unit in the last place of a number as it is written; ValueError for anything else."""
    value(text)
    mantissa, _, exponent = text.strip().lower().partition("e")
    decimals = mantissa.partition(".")[2]
    return Fraction(10) ** (int(exponent or 0) - len(decimals))


def rounded(text: str, exact: Fraction, most: Fraction) -> bool:
    """Whether a text is a number rounded to the places it shows, at least to `most`."""
    unit = max(min(last_place(text), most), abs(exact) / 10**13)
    return abs(value(text) - exact) * 2 <= unit * (1 + Fraction(1, 10**6))


# ---- text ---------------------------------------------------------------------------------------
def same_text(answer: str, entry: Entry) -> bool:
    """The entry's words in order, whatever their case; or its number."""
    right = str(entry["answer"])
    if answer.lower().split() == right.lower().split():
        return True
    return value(answer) == value(right)


def same_letters(answer: str, entry: Entry) -> bool:
    """The entry's letters, wherever spaces stand."""
    return "".join(answer.split()).lower() == str(entry["answer"]).lower()


def same_grid(answer: str, entry: Entry) -> bool:
    """The entry's rows and cells."""
    rows = [line.split() for line in answer.strip().split("\n")]
    return rows == [line.split() for line in str(entry["answer"]).strip().split("\n")]


def output_grid(answer: str, entry: Entry) -> bool:
    """The grid in the metadata."""
    rows = [line.split() for line in answer.strip().split("\n")]
    return rows == [[str(cell) for cell in row] for row in entry["metadata"]["output"]]


def sorted_words(answer: str, entry: Entry) -> bool:
    """The words of the metadata, sorted here."""
    metadata = entry["metadata"]
    words = sorted(metadata["transformed_words"], reverse=metadata["direction"] == "descending")
    return [word.strip() for word in answer.split(",")] == words


def claims(answer: str, entry: Entry) -> bool:
    """Each name's role; "is", "a", "and" and punctuation left out, nothing else."""

    def read(text: str) -> list[tuple[str, str]]:
        plain = "".join(" " if c in ".,()" else c for c in text.lower())
        words = [word for word in plain.split() if word not in ("is", "a", "an", "and")]
        if len(words) % 2:
            raise ValueError
        return sorted(zip(words[::2], words[1::2], strict=True))

    return read(answer) == read(entry["answer"])


def data(answer: str, entry: Entry) -> bool:
    """The entry's JSON, keys in any order, or its text."""
    right = entry["answer"]
    if answer.split() == right.split():
        return True

    def canonical(node: Any) -> Any:
        if isinstance(node, dict):
            return sorted((k, canonical(v)) for k, v in node.items())
        if isinstance(node, list):
            return [canonical(v) for v in node]
        return (type(node) is bool, node)

    return canonical(games.strict_json(answer)) == canonical(games.strict_json(right))


# ---- numbers ------------------------------------------------------------------------------------
def same_number(answer: str, entry: Entry) -> bool:
    """The entry's number; a currency sign may stand before."""
    return value(answer.strip().lstrip("\\$£€¥₹")) == value(str(entry["answer"]))


def integer(answer: str, entry: Entry) -> bool:
    """The whole number that the problem comes to, hexadecimal or decimal."""
    text = answer.strip().lower()
    given = int(text, 16) if "x" in text else int(value(text))
    return "_" not in text and given == int(entry["answer"], 16)


def angle_point_or_radius(answer: str, entry: Entry) -> bool:
    """Geometry worked out from the coordinates."""
    metadata = entry["metadata"]
    (ax, ay), (bx, by), (cx, cy) = ([Fraction(x) for x in metadata[p]] for p in "ABC")
    if metadata["task_type"] == "angle_measure":
        turn = math.atan2(ay - by, ax - bx) - math.atan2(cy - by, cx - bx)
        degrees = abs(math.degrees(turn)) % 360
        degrees = min(degrees, 360 - degrees)
        return rounded(answer.replace("°", ""), Fraction(degrees), Fraction(1, 100))
    if metadata["task_type"] == "incircle_radius":
        a, b, c = (
            math.dist(p, q)
            for p, q in (((bx, by), (cx, cy)), ((cx, cy), (ax, ay)), ((ax, ay), (bx, by)))
        )
        area = abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2
        radius = 2 * float(area) / (a + b + c)
        return rounded(answer, Fraction(radius), Fraction(1, 1000))
    # Altitudes: (P - A).(C - B) = 0 and (P - B).(A - C) = 0.
    ux, uy, vx, vy = cx - bx, cy - by, ax - cx, ay - cy
    p, q = ax * ux + ay * uy, bx * vx + by * vy
    det = ux * vy - uy * vx
    x, y = (p * vy - q * uy) / det, (ux * q - vx * p) / det
    inside = answer.strip().removeprefix("(").removesuffix(")")
    left, right = inside.split(",")
    return rounded(left, x, Fraction(1, 1000)) and rounded(right, y, Fraction(1, 1000))


def binomial(answer: str, entry: Entry) -> bool:
    """The probability worked out, as a fraction or rounded."""
    metadata = entry["metadata"]
    n, k = metadata["num_trials"], metadata["k_heads"]
    heads = range(k, n + 1) if metadata["problem_type"] == "at_least" else [k]
    exact = Fraction(sum(math.comb(n, i) for i in heads), 2**n)
    if "/" in answer:
        top, bottom = answer.split("/")
        return value(top) / value(bottom) == exact
    return rounded(answer, exact, Fraction(1))


def complex_result(answer: str, entry: Entry) -> bool:
    """The operation worked out."""
    metadata = entry["metadata"]
    (a, b), (c, d) = ([Fraction(x) for x in metadata[n]] for n in ("num1", "num2"))
    exact = {
        "+": lambda: (a + c, b + d),
        "-": lambda: (a - c, b - d),
        "*": lambda: (a * c - b * d, a * d + b * c),
        "/": lambda: ((a * c + b * d) / (c * c + d * d), (b * c - a * d) / (c * c + d * d)),
    }[metadata["operation"]]()
    return fuzz_oracles.complex_number(_no_split_numbers(answer)) == exact


def _no_split_numbers(text: str) -> str:
    """The text; ValueError when a space stands inside a number."""
    if re.search(r"[0-9.]\s+[0-9.]", text) or "," in text or "_" in text:
        raise ValueError
    return text


def decimal_result(answer: str, entry: Entry) -> bool:
    """The expression worked out exactly, rounded to twelve digits or more; or the entry's number."""
    if value(answer) == value(entry["answer"]):
        return True
    expression = entry["question"].split("\n")[-1].split("=")[0].strip()
    exact = arithmetic(ast.parse(re.sub(r"([0-9.]+)", r"'\1'", expression), mode="eval").body)
    size = len(str(abs(exact).numerator // abs(exact).denominator)) if abs(exact) >= 1 else 0
    if size == 0 and exact:
        size = -math.floor(-math.log10(float(abs(exact))) - 1e-15)
    return rounded(answer, exact, Fraction(10) ** (size - 12))


def arithmetic(node: ast.expr) -> Fraction:
    """An expression of quoted numbers."""
    if isinstance(node, ast.BinOp):
        a, b = arithmetic(node.left), arithmetic(node.right)
        for kind, result in (
            (ast.Add, lambda: a + b),
            (ast.Sub, lambda: a - b),
            (ast.Mult, lambda: a * b),
        ):
            if isinstance(node.op, kind):
                return result()
        if isinstance(node.op, ast.Div):
            return a / b
    if isinstance(node, ast.UnaryOp):
        return (
            -arithmetic(node.operand) if isinstance(node.op, ast.USub) else arithmetic(node.operand)
        )
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    raise ValueError


def reduced_fraction(answer: str, entry: Entry) -> bool:
    """The fraction divided by the greatest common divisor, nothing around it but dollar signs."""
    metadata = entry["metadata"]
    common = math.gcd(metadata["numerator"], metadata["denominator"])
    text = answer.replace("$", "").strip()
    for command in ("\\dfrac", "\\frac", "\\DFRAC", "\\FRAC"):
        if text.startswith(command + "{") and text.endswith("}"):
            text = text[len(command) + 1 : -1].replace("}{", "/", 1)
    top, bottom = text.split("/")
    return [value(top), value(bottom)] == [
        metadata["numerator"] // common,
        metadata["denominator"] // common,
    ]


def picked(answer: str, entry: Entry) -> bool:
    """The largest or smallest candidate, as any of its writings."""
    metadata = entry["metadata"]
    shown = [value(text) for text in metadata["formatted_candidates"]]
    best = (max if metadata["size"] == "largest" else min)(shown)
    return value(answer) in (best, value(entry["answer"]))


def sorted_numbers(answer: str, entry: Entry) -> bool:
    """The numbers, sorted here."""
    metadata = entry["metadata"]
    numbers = sorted(
        map(value, metadata["original_numbers"]), reverse=metadata["direction"] != "ascending"
    )
    text = answer.strip()
    if text[0] != "[" or text[-1] != "]":
        raise ValueError
    return [value(part.strip().strip("'\"")) for part in text[1:-1].split(",")] == numbers


def filtered_numbers(answer: str, entry: Entry) -> bool:
    """The numbers, filtered here."""
    metadata = entry["metadata"]
    bound = value(metadata["filter_value"])
    larger = metadata["operation"].endswith("larger")
    keep = metadata["operation"].startswith("keep")
    numbers = []
    for text in metadata["original_numbers"]:
        passes = value(text) > bound if larger else value(text) < bound
        if passes == keep:
            numbers.append(value(text))
    inside = answer.strip().removeprefix("[").removesuffix("]")
    return [
        value(part.strip().strip("'\"")) for part in inside.split(",") if part.strip()
    ] == numbers


def pooled(answer: str, entry: Entry) -> bool:
    """The matrix, pooled here with exact fractions."""
    metadata = entry["metadata"]
    matrix, size = metadata["matrix"], metadata["pool_size"]
    rows = [line.split() for line in answer.strip().split("\n")]
    heights, widths = range(0, len(matrix), size), range(0, len(matrix[0]), size)
    if [len(row) for row in rows] != [len(widths)] * len(heights):
        return False
    for row, top in zip(rows, heights, strict=True):
        for cell, left in zip(row, widths, strict=True):
            part = [x for line in matrix[top : top + size] for x in line[left : left + size]]
            exact = (
                Fraction(max(part))
                if metadata["pool_type"] == "max"
                else Fraction(sum(part), len(part))
            )
            if not rounded(cell, exact, Fraction(1, 100)):
                return False
    return True


def power(answer: str, entry: Entry) -> bool:
    """The power worked out exactly, rounded to three digits or more; or the entry's number."""
    if value(answer) == value(entry["answer"]):
        return True
    metadata = entry["metadata"]
    exact = Fraction(str(metadata["base"])) ** metadata["exponent"]
    place = math.floor(math.log10(abs(exact))) if exact else 0
    text = answer.strip()
    unit = last_place(text)
    if text.lstrip("+-").replace(",", "").isdecimal():
        digits = str(abs(value(text)))
        unit *= 10 ** (len(digits) - len(digits.rstrip("0")))
    unit = min(unit, Fraction(10) ** (place - 2))
    return abs(value(text) - exact) * 2 <= unit


def factors(answer: str, entry: Entry) -> bool:
    """Primes with that product, with × between."""
    parts = [int(value(part)) for part in answer.split("×")]
    primes = all(n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1)) for n in parts)
    return primes and math.prod(parts) == entry["metadata"]["number"]


def real_roots(answer: str, entry: Entry) -> bool:
    """The real solutions to four decimals, in any order."""
    wanted = [Fraction(str(x)) for x in entry["metadata"]["real_solutions"]]
    return Counter(map(value, answer.split(","))) == Counter(wanted)


def elapsed(answer: str, entry: Entry) -> bool:
    """The time between the start and the end in the metadata."""
    metadata = entry["metadata"]
    start, end = (datetime.fromisoformat(metadata[k]) for k in ("start_time", "end_time"))
    seconds = (end - start).total_seconds()
    text, days = answer.strip(), Fraction(0)
    if metadata["task_type"] == "date":
        words = text.split()
        return (
            len(words) <= 2
            and words[1:] in ([], ["days"], ["day"])
            and value(words[0]) == seconds // 86400
        )
    if " day" in text:
        head, _, text = text.partition(",")
        number, unit = head.split()
        if unit not in ("day", "days"):
            return False
        days = value(number)
        if days.denominator != 1:
            return False
    parts = text.strip().split(":")
    if len(parts) not in (2, 3) or any(not 0 <= value(part) < 60 for part in parts[1:]):
        return False
    numbers = [value(part) for part in (*parts, "0")[:3]]
    if any(number.denominator != 1 for number in numbers[:2]) or any("," in part for part in parts):
        return False
    shown = days * 86400 + numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
    exact = Fraction(round(seconds * 1000), 1000)
    if metadata["expected_format"].endswith("HH:MM"):
        exact -= exact % 60
    # The milliseconds of upstream's own answers are cut, with an error of floats.
    return abs(shown - exact) < Fraction(1, 500) if "." in text else shown == exact


# ---- expressions --------------------------------------------------------------------------------
def target(answer: str, entry: Entry) -> bool:
    """The expression worked out, with all numbers used once."""
    metadata = entry["metadata"]
    return fuzz_oracles.right_expression(answer, metadata["numbers"], metadata.get("target", 24))


def follows(answer: str, entry: Entry) -> bool:
    """Truth tables."""
    metadata = entry["metadata"]
    return fuzz_oracles.follows(answer, metadata["premises"], metadata["variables"])


FUNCTIONS = {
    name: getattr(mpmath, name)
    for name in (
        "sqrt",
        "exp",
        "log",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
    )
}


def compute(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """An algebraic expression at a point, in numbers of 40 digits."""
    if isinstance(node, ast.BinOp):
        a, b = compute(node.left, names), compute(node.right, names)
        if isinstance(node.op, ast.Pow):
            return a**b
        return arithmetic_step(node.op, a, b)
    if isinstance(node, ast.UnaryOp):
        inner = compute(node.operand, names)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return mpmath.mpf(str(node.value))
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        return FUNCTIONS[node.func.id](compute(node.args[0], names))
    raise ValueError


def arithmetic_step(op: ast.operator, a: Any, b: Any) -> Any:
    if isinstance(op, ast.Add):
        return a + b
    if isinstance(op, ast.Sub):
        return a - b
    if isinstance(op, ast.Mult):
        return a * b
    if isinstance(op, ast.Div):
        return a / b
    raise ValueError


POINTS = ("1.37", "0.61", "2.83")


def derivative(answer: str, entry: Entry) -> bool:
    """The answer's derivative, taken numerically at three points, against the integrand."""
    metadata = entry["metadata"]
    tree = ast.parse(answer.strip(), mode="eval").body
    integrand = ast.parse(metadata["integrand"].strip(), mode="eval").body
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    constants = {c: mpmath.mpf(i + 2) / 7 for i, c in enumerate(sorted(letters))}
    constants |= {"E": mpmath.e, "pi": mpmath.pi}
    with mpmath.workdps(40):
        for point in POINTS:
            x = mpmath.mpc(point)

            def at(t: Any) -> Any:
                return compute(tree, {**constants, metadata["variable"]: t})

            wanted = compute(integrand, {**constants, metadata["variable"]: x})
            if abs(mpmath.diff(at, x) - wanted) > mpmath.mpf(10) ** -15 * (1 + abs(wanted)):
                return False
    return True


def polynomial(answer: str, entry: Entry) -> bool:
    """The product and the answer at eight points: polynomials of this size differ at one of them."""
    metadata = entry["metadata"]
    product = ast.parse(metadata["polynomial_expr"].strip(), mode="eval").body
    tree = ast.parse(answer.strip(), mode="eval").body
    rng = random.Random(str(metadata["polynomial_expr"]))
    with mpmath.workdps(40):
        for _ in range(8):
            names = {
                c: mpmath.mpf(rng.randrange(2, 10**6)) / 999 for c in "abcdefghijklmnopqrstuvwxyz"
            }
            names |= {c.upper(): names[c] + 1 for c in "abcdefghijklmnopqrstuvwxyz"}
            a, b = compute(tree, names), compute(product, names)
            if abs(a - b) > mpmath.mpf(10) ** -25 * (1 + abs(b)):
                return False
    return True


# ---- words --------------------------------------------------------------------------------------
def queens(answer: str, entry: Entry) -> bool:
    """One queen in every row and column, none on a diagonal, the given one kept."""
    board = entry["metadata"]["puzzle"]
    if set(answer) - set("Q_ \n"):
        raise ValueError
    return fuzz_oracles.queens(f"<answer>{answer}</answer>", len(board), board)


def ladder(answer: str, entry: Entry) -> bool:
    """From the first word to the last, a letter at a time. (Whether they are words is not asked.)"""
    metadata = entry["metadata"]
    words = [word.strip().upper() for word in answer.split(",")]
    if words[0] != metadata["start_word"] or words[-1] != metadata["end_word"]:
        return False
    pairs = pairwise(words)
    return all(len(a) == len(b) and sum(map(str.__ne__, a, b)) == 1 for a, b in pairs)


def composite(answer: str, entry: Entry) -> bool:
    """The oracle of the dataset the entry is from."""
    return is_right(entry["metadata"]["source_dataset"], answer, entry)


ORACLES: dict[str, Oracle] = dict.fromkeys(
    (
        "ab", "acre", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "bf",
        "binary_alternation", "caesar_cipher", "calendar_arithmetic", "circuit_logic",
        "color_cube_rotation", "count_bits", "count_primes", "course_schedule", "dice",
        "emoji_mystery", "family_relationships", "game_of_life_halting", "gcd",
        "isomorphic_strings", "largest_island", "lcm", "leg_counting", "letter_counting",
        "letter_jumble", "list_functions", "mahjong_puzzle", "maze", "modulo_grid",
        "needle_haystack", "number_sequence", "path_star", "ransom_note", "rectangle_count",
        "rotten_oranges", "self_reference", "sentence_reordering", "simple_equations",
        "simple_geometry", "spell_backward", "spiral_matrix", "string_insertion",
        "string_manipulation", "string_splitting", "string_synthesis", "syllogism", "tsumego",
        "word_sequence_reversal", "zebra_puzzles",
    ),
    same_text,
)  # fmt: skip
ORACLES |= {
    "advanced_geometry": angle_point_or_radius,
    "arc_agi": output_grid,
    "binary_matrix": same_grid,
    "bitwise_arithmetic": integer,
    "boxnet": games.boxnet,
    "chain_sum": same_number,
    "codeio": data,
    "coin_flip": binomial,
    "complex_arithmetic": complex_result,
    "composite": composite,
    "countdown": target,
    "cryptarithm": games.cryptarithm,
    "decimal_arithmetic": decimal_result,
    "decimal_chain_sum": same_number,
    "figlet_font": same_letters,
    "fraction_simplification": reduced_fraction,
    "futoshiki": games.futoshiki,
    "game_of_life": games.game_of_life,
    "graph_color": games.graph_color,
    "group_anagrams": games.anagrams,
    "gsm_symbolic": same_number,
    "intermediate_integration": derivative,
    "jugs": games.jugs,
    "kakurasu": games.kakurasu,
    "knight_swap": games.knights,
    "knights_knaves": claims,
    "manipulate_matrix": same_grid,
    "mini_sudoku": games.sudoku,
    "n_queens": queens,
    "number_filtering": filtered_numbers,
    "number_format": picked,
    "number_sorting": sorted_numbers,
    "palindrome_generation": games.palindrome,
    "palindrome_partitioning": games.palindromes,
    "polynomial_equations": real_roots,
    "polynomial_multiplication": polynomial,
    "pool_matrix": pooled,
    "power_function": power,
    "prime_factorization": factors,
    "products": same_number,
    "propositional_logic": follows,
    "puzzle24": target,
    "quantum_lock": games.quantum_lock,
    "rearc": output_grid,
    "rotate_matrix": same_grid,
    "rubiks_cube": games.rubiks,
    "rush_hour": games.rush_hour,
    "shortest_path": games.shortest_path,
    "simple_integration": derivative,
    "sokoban": games.sokoban,
    "sudoku": games.sudoku,
    "survo": games.survo,
    "time_intervals": elapsed,
    "tower_of_hanoi": games.hanoi,
    "word_ladder": ladder,
    "word_sorting": sorted_words,
}

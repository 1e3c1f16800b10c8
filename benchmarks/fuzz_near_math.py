r"""Near misses of MATH: references of the kinds that MATH has, and answers wrong by construction.

Every maker draws a reference and changes one thing that its meaning rests on: a digit, a sign, a
base, a bracket, the order, the number of parts. Where the change might by chance leave the value as
it was, exact arithmetic (`fractions`) says whether it did.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from mtgrpo.tasks.sources.science import math_reward

Pair = tuple[str, str]  # a reference and a wrong answer
MOST = 20


# ---- numbers ------------------------------------------------------------------------------------
def tex(value: Fraction) -> str:
    """A fraction in LaTeX."""
    sign = "-" if value < 0 else ""
    if value.denominator == 1:
        return f"{value.numerator}"
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def other_number(rng: random.Random, value: Fraction) -> Fraction:
    """Another number, not far off."""
    choices = [
        value + 1,
        value - 1,
        -value,
        value * 10,
        value / 10,
        value + Fraction(1, 10 ** rng.randrange(1, 9)),
        value * (1 + Fraction(1, 10 ** rng.randrange(2, 9))),
        1 / value if value else Fraction(1),
        value * value,
        Fraction(value.numerator + 1, value.denominator),
        Fraction(value.numerator, value.denominator + 1),
        Fraction(int("".join(reversed(str(abs(value.numerator))))), value.denominator),
    ]
    return rng.choice([choice for choice in choices if choice != value])


def written(rng: random.Random, value: Fraction) -> str:
    """A number as a fraction, or as a decimal where that is exact."""
    power = next((k for k in range(12) if value * 10**k == int(value * 10**k)), None)
    if power is not None and rng.random() < 0.6:
        digits = f"{abs(int(value * 10**power)):0{power + 1}d}"
        whole, decimals = digits[: len(digits) - power], digits[len(digits) - power :]
        return ("-" if value < 0 else "") + whole + (f".{decimals}" if decimals else "")
    return tex(value)


def integers(rng: random.Random) -> Iterator[Pair]:
    n = rng.choice([-1, 1]) * rng.randrange(2, 10 ** rng.randrange(1, 6))
    value = Fraction(n)
    other = other_number(rng, value)
    wrong = written(rng, other)
    k = n + rng.choice([-1, 1, 10])
    yield str(n), wrong
    yield str(n), rf"{n}\%"
    yield str(n), f"{k}={n}"
    yield str(n), f"{n}={k}"
    yield str(n), f"x={k}={n}"
    yield str(n), f"{n},{k}"
    yield str(n), rf"{n} \text{{ or }} {k}"
    yield str(n), rf"{n} \text{{ and }} {k}"
    yield str(n), rf"\pm {abs(n)}"
    yield str(n), f"{n}; {k}"
    yield str(n), rf"{n} \approx {2 * n}"
    yield str(n), rf"{k} \to {n}"
    yield str(n), rf"\neq {n}"
    yield str(n), f"{n}+1"
    yield str(n), f"{n}x"
    yield str(n), f"<{n}"
    yield str(n), rf"\frac{{1}}{{{n}}}"
    yield str(n), rf"x={k}"
    yield str(n), rf"{n}.5"
    yield str(n), rf"{n}.000001"
    yield str(n), rf"\text{{not }} {n}"
    yield str(n), rf"({n}, {k})"
    yield str(n), rf"\{{{n}, {k}\}}"
    yield str(n), rf"{n}i"
    if n > 3:
        yield str(n), f"{n}!"
        yield str(n), rf"\sqrt{{{n}}}"
    if n > 9:
        yield str(n), f"{str(n)[0]},{str(n)[1:]}" if len(str(n)) != 4 else f"{n}0"
        yield str(n), f"{str(n)[0]} {str(n)[1:]}"
        yield str(n), f"{str(n)[0]}.{str(n)[1:]}"
    base = rng.randrange(2, 10)
    yield str(abs(n)), f"{abs(n)}_{base}"
    yield str(abs(n)), rf"{abs(n)}_{{{rng.randrange(11, 17)}}}"


def bases(rng: random.Random) -> Iterator[Pair]:
    base = rng.randrange(3, 10)
    digits = str(rng.randrange(1, base)) + "".join(
        str(rng.randrange(base)) for _ in range(rng.randrange(1, 5))
    )
    reference = rng.choice([f"{digits}_{base}", f"{digits}_{{{base}}}"])
    other = rng.choice([b for b in (*range(2, 10), 11, 12, 16) if b != base])
    i = rng.randrange(len(digits))
    changed = digits[:i] + str((int(digits[i]) + 1) % 10) + digits[i + 1 :]
    yield reference, rf"{digits}_{{{other}}}"
    yield reference, f"{digits}_{(base + 1) % 10}"
    yield reference, f"{changed}_{base}"
    yield reference, changed
    yield reference, f"{digits}0_{base}"
    yield reference, f"-{digits}_{base}"
    yield reference, f"{digits}_{base}, {changed}_{base}"
    if digits[::-1] != digits:
        yield reference, f"{digits[::-1]}_{base}"


def fractions(rng: random.Random) -> Iterator[Pair]:
    value = Fraction(rng.randrange(1, 60), rng.randrange(2, 60)) * rng.choice([1, -1])
    if value.denominator == 1:
        value += Fraction(1, 7)
    reference = tex(value)
    yield reference, written(rng, other_number(rng, value))
    yield reference, rf"{reference}\%"
    yield (
        reference,
        f"{float(value):.{rng.randrange(1, 8)}f}" if value.denominator % 3 == 0 else tex(value + 1),
    )
    yield reference, tex(-value)
    if value.numerator not in (1, -1) and value not in (1, -1):
        yield reference, tex(1 / value)
    yield reference, f"{value.numerator}, {value.denominator}"
    yield reference, rf"{reference}, {tex(value + 1)}"
    whole = rng.randrange(1, 9)
    part = Fraction(rng.randrange(1, 8), 8)
    if part.denominator > 1:
        mixed = tex(whole + part)
        yield mixed, rf"{whole + 1}{tex(part)}"
        yield mixed, rf"{whole} \cdot {tex(part)}"
        yield mixed, tex(whole * part + 20)


def powers(rng: random.Random) -> Iterator[Pair]:
    base, exponent = rng.randrange(2, 8), rng.randrange(5, 130)
    by = rng.choice([-2, -1, 1, 2])
    yield rf"\frac{{1}}{{{base}^{{{exponent}}}}}", rf"\frac{{1}}{{{base}^{{{exponent + by}}}}}"
    yield rf"\frac{{1}}{{{base}^{{{exponent}}}}}", rf"1/{base}^{{{exponent + by}}}"
    yield rf"\frac{{1}}{{{base}^{{{exponent}}}}}", "0"
    yield "0", rf"\frac{{1}}{{{base}^{{{exponent}}}}}"
    yield rf"{base}^{{{exponent}}}", rf"{base}^{{{exponent + by}}}"
    yield rf"{base}^{{{exponent}}}", rf"{base + 1}^{{{exponent}}}"
    yield rf"{base}^{{{exponent}}}", rf"{base}^{{{exponent}}} + 1"
    yield rf"{base}^{{{exponent}}}", rf"-{base}^{{{exponent}}}"
    small = rng.randrange(10, 90)
    yield rf"\frac{{1}}{{{small}!}}", rf"\frac{{1}}{{{small + 1}!}}"
    yield f"{base}^{{{exponent}}} - 1", f"{base}^{{{exponent}}}"


def irrationals(rng: random.Random) -> Iterator[Pair]:
    a, r = rng.randrange(2, 30), rng.choice([2, 3, 5, 6, 7, 10, 11, 13])
    b = rng.randrange(1, 9)
    by = rng.choice([-1, 1])
    reference = rng.choice(
        [rf"{a}\sqrt{{{r}}}", rf"{a} \sqrt {r}" if r < 10 else rf"{a}\sqrt{{{r}}}"]
    )
    yield reference, rf"{a + by}\sqrt{{{r}}}"
    yield reference, rf"{a}\sqrt{{{r + 1}}}"
    yield reference, rf"-{a}\sqrt{{{r}}}"
    yield reference, rf"{a}\sqrt[3]{{{r}}}"
    yield reference, f"{a * r**0.5:.{rng.randrange(1, 9)}f}"
    yield reference, rf"{a}+\sqrt{{{r}}}"
    yield reference, rf"\sqrt{{{a * r}}}"
    yield reference, rf"\pm {a}\sqrt{{{r}}}"
    yield rf"{b}+{a}\sqrt{{{r}}}", rf"{b}-{a}\sqrt{{{r}}}"
    yield rf"{b}+{a}\sqrt{{{r}}}", rf"{b + by}+{a}\sqrt{{{r}}}"
    yield rf"\frac{{{b}+\sqrt{{{r}}}}}{{{a}}}", rf"\frac{{{b}-\sqrt{{{r}}}}}{{{a}}}"
    yield rf"\frac{{{b}+\sqrt{{{r}}}}}{{{a}}}", rf"{b}+\frac{{\sqrt{{{r}}}}}{{{a}}}"
    yield rf"{a}\pi", rf"{a + by}\pi"
    yield rf"{a}\pi", rf"{a}"
    yield rf"{a}\pi", rf"{a}\pi^2"
    yield rf"{a}\pi", f"{a * 3.141592653589793:.{rng.randrange(1, 9)}f}"
    yield rf"\frac{{{b}\pi}}{{{a}}}", rf"\frac{{{b + a}\pi}}{{{a}}}"
    yield rf"\frac{{{b}\pi}}{{{a}}}", rf"-\frac{{{b}\pi}}{{{a}}}"
    yield rf"\log_{{{a}}} {r}", rf"\log_{{{a + 1}}} {r}"
    yield rf"\cos {a}^\circ", rf"\sin {a}^\circ" if a != 45 else rf"\cos {a + 1}^\circ"
    yield rf"{a}e", rf"{a}\pi"


# ---- intervals, sets, tuples --------------------------------------------------------------------
def intervals(rng: random.Random) -> Iterator[Pair]:
    a = rng.randrange(-20, 20)
    b = a + rng.randrange(1, 20)
    left, right = rng.choice("(["), rng.choice(")]")
    reference = rng.choice([rf"{left}{a},{b}{right}", rf"\left{left}{a}, {b}\right{right}"])
    flipped = {"(": "[", "[": "(", ")": "]", "]": ")"}
    yield reference, f"{flipped[left]}{a},{b}{right}"
    yield reference, f"{left}{a},{b}{flipped[right]}"
    yield reference, f"{left}{a},{b + 1}{right}"
    yield reference, f"{left}{a - 1},{b}{right}"
    yield reference, f"{left}{b},{a}{right}"
    yield reference, rf"\{{{a},{b}\}}"
    yield reference, rf"{left}{a},\infty)"
    yield reference, f"{left}{a},{a},{b}{right}"
    yield rf"{left}{a},\infty)", rf"{left}{a},\infty]"
    yield rf"{left}{a},\infty)", rf"{flipped[left]}{a},\infty)"
    yield rf"{left}{a},\infty)", rf"(-\infty,{a}{flipped[left]}"
    yield rf"(-\infty,{a}{right}", rf"[-\infty,{a}{right}"
    yield rf"(-\infty,{a}{right}", rf"(-\infty,{a}{flipped[right]}"
    union = rf"(-\infty,{a}{right}\cup{left}{b},\infty)"
    yield union, rf"(-\infty,{a}{flipped[right]}\cup{left}{b},\infty)"
    yield union, rf"(-\infty,{a}{right}\cup{left}{b},\infty]"
    yield union, rf"(-\infty,{a}{right}\cup{left}{b + 1},\infty)"
    yield union, rf"(-\infty,{a}{right}"
    yield union, rf"(-\infty,{a}{right}\cap{left}{b},\infty)"
    yield union, rf"(-\infty,{a}{right},{left}{b},\infty)"
    yield rf"x \in {left}{a},{b}{right}", rf"x \in {flipped[left]}{a},{b}{right}"
    yield rf"x \in {left}{a},{b}{right}", rf"{left}{a},{b + 1}{right}"
    yield rf"x \le {a}", rf"x < {a}"
    yield rf"x \le {a}", rf"x \ge {a}"
    yield rf"x < {a}", rf"x < {a + 1}"


def collections(rng: random.Random) -> Iterator[Pair]:
    numbers = rng.sample(range(-30, 30), rng.randrange(2, 6))
    text = ", ".join(map(str, numbers))
    i = rng.randrange(len(numbers))
    changed = [*numbers[:i], numbers[i] + 31, *numbers[i + 1 :]]
    fewer = numbers[:i] + numbers[i + 1 :]
    more = [*numbers, 77]
    swapped = [*numbers[1:], numbers[0]]

    def join(parts: list[int]) -> str:
        return ",".join(map(str, parts))

    for other in (
        changed,
        more,
        [-n for n in numbers] if 0 not in numbers or len(numbers) > 2 else changed,
    ):
        if set(other) == set(numbers):
            continue
        yield text, join(other)
        yield rf"\{{{text}\}}", rf"\{{{join(other)}\}}"
        yield rf"\{{{text}\}}", join(other)
        yield f"({text})", f"({join(other)})"
        yield f"({text})", join(other)
    yield text, join(fewer)
    yield f"({text})", f"({join(fewer)})" if len(fewer) > 1 else str(fewer[0])
    yield rf"\{{{text}\}}", rf"\{{{join(fewer)}\}}"
    yield rf"\{{{text}\}}", f"({text})"
    yield rf"\{{{text}\}}", f"[{text}]"
    yield f"({text})", rf"\{{{text}\}}"
    yield f"({text})", f"[{text}]"
    yield f"({text})", f"({join(swapped)})"
    yield f"({text})", join(swapped)
    yield text, rf"({join(numbers)}), {numbers[0]}"
    half = Fraction(numbers[0] * 2 + 1, 2)
    third = Fraction(numbers[1] * 3 + 1, 3)
    yield f"({tex(half)}, {tex(third)})", f"({tex(half)}, {float(third):.6f})"
    yield f"({tex(half)}, {tex(third)})", f"({tex(third)}, {tex(half)})"
    yield f"({tex(half)}, {tex(third)})", f"({tex(half)}, {tex(third + 1)})"
    yield rf"x={numbers[0]}, y={numbers[1]}", rf"x={numbers[1]}, y={numbers[0]}"
    yield rf"x={numbers[0]}, y={numbers[1]}", rf"({numbers[1]}, {numbers[0]})"
    yield rf"({text}), ({join(changed)})", f"({text})"
    if changed != swapped:
        yield rf"({text}), ({join(changed)})", f"({text}), ({join(swapped)})"
    yield rf"\pm {abs(numbers[0]) + 1}", f"{abs(numbers[0]) + 1}"


def matrices(rng: random.Random) -> Iterator[Pair]:
    rows = rng.randrange(1, 4)
    columns = rng.randrange(1 + (rows == 1), 4)
    cells = [rng.sample(range(-40, 40), columns) for _ in range(rows)]

    def join(matrix: list[list[int]], name: str = "pmatrix") -> str:
        inside = r" \\ ".join(" & ".join(map(str, row)) for row in matrix)
        return rf"\begin{{{name}}} {inside} \end{{{name}}}"

    changed = [list(row) for row in cells]
    changed[rng.randrange(rows)][rng.randrange(columns)] += rng.choice([-1, 1, 50])
    transposed = [list(column) for column in zip(*cells, strict=True)]
    yield join(cells), join(changed)
    yield (
        join(cells),
        join([[-n for n in row] for row in cells]) if any(map(any, cells)) else join(changed),
    )
    if transposed != cells:
        yield join(cells), join(transposed)
    if rows > 1:
        yield join(cells), join(cells[1:])
        if cells[::-1] != cells:
            yield join(cells), join(cells[::-1])
    if columns > 1:
        yield join(cells), join([row[::-1] for row in cells])
        yield join(cells), join([row[1:] for row in cells])
    yield join(cells), join([*cells, cells[0]])


# ---- expressions --------------------------------------------------------------------------------
def polynomial(coefficients: list[int], name: str = "x") -> str:
    terms = []
    for power, c in reversed(list(enumerate(coefficients))):
        if c:
            variable = "" if power == 0 else name if power == 1 else f"{name}^{power}"
            terms.append(f"{c:+d}{variable}")
    return "".join(terms).removeprefix("+") or "0"


def polynomials(rng: random.Random) -> Iterator[Pair]:
    coefficients = [rng.choice([-1, 1]) * rng.randrange(2, 20) for _ in range(rng.randrange(2, 5))]
    i = rng.randrange(len(coefficients))
    changed = [*coefficients[:i], coefficients[i] + rng.choice([-1, 1]), *coefficients[i + 1 :]]
    flipped = [*coefficients[:i], -coefficients[i], *coefficients[i + 1 :]]
    reference = polynomial(coefficients)
    for other in (changed, flipped, [0, *coefficients], coefficients[::-1], coefficients[:-1]):
        if other != coefficients:
            yield reference, polynomial(other)
    yield reference, polynomial(coefficients, "y")
    yield reference, f"-({reference})"
    yield reference, f"({reference})^2"
    yield reference, rf"\frac{{{reference}}}{{2}}"
    yield reference, f"{reference}=0"
    a, b = coefficients[0], coefficients[1]
    line = f"y={polynomial([a, b])}"
    yield line, f"y={polynomial([a + 1, b])}"
    yield line, f"y={polynomial([a, b + 1])}"
    yield line, f"y={polynomial([-a, b])}"
    yield line, f"x={polynomial([a, b])}"
    yield line, f"z={polynomial([a, b])}"
    yield line, polynomial([a, b], "y")
    yield line, polynomial([a, b + 1])
    yield line, f"{polynomial([a, b])}=0"
    c = abs(a) + 1
    yield f"x^2+y^2={c}", f"x^2+y^2={c + 1}"
    yield f"x^2+y^2={c}", f"x^2-y^2={c}"
    yield f"x^2+y^2={c}", f"x+y={c}"
    yield f"x^2+y^2={c}", f"{c}"
    yield f"{b}x+{c}y=1", f"{c + 1}x+{b}y=1"
    yield f"{b}x+{c}y=1", f"{b}x-{c}y=1"
    yield f"|x|={c}", f"|x|={c + 1}"
    yield f"|x|=-{c}", f"|x|=-{c + 1}"
    yield rf"\frac{{x+{c}}}{{x-{c}}}", rf"\frac{{x-{c}}}{{x+{c}}}"
    yield rf"\frac{{x+{c}}}{{{c + 1}}}", rf"x+\frac{{{c}}}{{{c + 1}}}"
    yield f"x_{rng.randrange(1, 5)}", f"x_{rng.randrange(5, 9)}"
    yield rf"\sin x+{c}", rf"\cos x+{c}"
    yield rf"{c}^x", rf"x^{c}"


def complexes(rng: random.Random) -> Iterator[Pair]:
    a, b = rng.randrange(1, 40), rng.randrange(1, 40)
    reference = f"{a}+{b}i"
    yield reference, f"{a}-{b}i"
    yield reference, f"-{a}+{b}i"
    yield reference, f"{a + 1}+{b}i"
    yield reference, f"{a}+{b + 1}i"
    yield reference, f"{a}+{b}"
    yield reference, f"{a}+{b}x"
    yield reference, f"({a},{b})"
    yield reference, f"{a}"
    if a != b:
        yield reference, f"{b}+{a}i"


# ---- units and words ----------------------------------------------------------------------------
def dressed(rng: random.Random) -> Iterator[Pair]:
    n = rng.randrange(2, 400)
    k = n + rng.choice([-1, 1, 10, 100])
    for reference, form in (
        (rf"{n}\%", r"{}\%"),
        (rf"{n}^\circ", r"{}^\circ"),
        (rf"\${n}", r"\${}"),
        (rf"{n}\text{{ cm}}", r"{}\text{{ cm}}"),
        (rf"{n} \text{{ square units}}", r"{}"),
        (rf"{n:,}", "{}"),
    ):
        yield reference, form.format(k)
        yield reference, form.format(f"{n}.001")
        yield reference, form.format(f"-{n}")
        yield reference, form.format(f"{n}, {k}")
    yield rf"{n}\%", f"{n * 100}" if n * 100 != n else "0"
    yield rf"{n}\%", rf"\frac{{{n}}}{{1000}}"
    yield f"{n}.{n % 9 + 1}", f"{n}.{n % 9 + 1}1"
    yield f"{n}.{n % 9 + 1}", f"{n}"
    yield f"{n}:{n + 1}", f"{n + 1}:{n}"
    names = [
        "even",
        "odd",
        "Alice",
        "Bob",
        "ellipse",
        "circle",
        "parabola",
        "yes",
        "no",
        "Evelyn",
        "(A)",
        "(B)",
        "(C)",
        "A",
        "B",
    ]
    right, wrong = rng.sample(names, 2)
    if right.strip("()") != wrong.strip("()"):
        yield rf"\text{{{right}}}", rf"\text{{{wrong}}}"
        yield rf"\text{{{right}}}", wrong
        yield rf"\text{{{right}}}", rf"\text{{{right} or {wrong}}}"
        yield rf"\text{{{right}}}", rf"\text{{not {right}}}"
        yield rf"\text{{{right}}}", rf"\text{{{right}}}, \text{{{wrong}}}"


MAKERS: tuple[Callable[[random.Random], Iterator[Pair]], ...] = (
    integers,
    bases,
    fractions,
    powers,
    irrationals,
    intervals,
    collections,
    matrices,
    polynomials,
    complexes,
    dressed,
)


def run(each: int) -> dict[str, Any]:
    """The tally of so many different near misses, of every kind alike."""
    rng = random.Random("near misses of MATH")
    tally: dict[str, Any] = {
        "oracle": "wrong by construction",
        "near_misses": 0,
        "wrong_taken_for_right": 0,
        "own_scorer_took": 0,
    }
    kinds: Counter[str] = Counter()
    found: list[Any] = []
    seen: set[Pair] = set()
    slowest = 0.0

    while tally["near_misses"] < each:
        maker = rng.choice(MAKERS)
        for reference, answer in maker(rng):
            if (reference, answer) in seen or tally["near_misses"] >= each:
                continue
            seen.add((reference, answer))
            begin = time.monotonic()
            reward = math_reward([f"So it is $\\boxed{{{answer}}}$."], [reference])[0]
            slowest = max(slowest, time.monotonic() - begin)
            tally["near_misses"] += 1
            kinds[maker.__name__] += 1
            if reward >= 1.0:
                tally["wrong_taken_for_right"] += 1
                found.append([maker.__name__, answer, reference])

    return tally | {
        "still_right": 0,
        "right_but_refused": 0,
        "max_cpu_s": round(slowest, 3),
        "by_mutation": kinds,
        "examples": {"wrong_taken_for_right": found[:MOST], "right_but_refused": []},
    }


if __name__ == "__main__":
    print(json.dumps(run(2_000), indent=1))

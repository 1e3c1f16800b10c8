"""What is fuzzed: rows of every bundled scorer with right answers, the scorer itself, and its judge."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import fuzz_oracles as judges
from fuzz_oracles import Unreadable

from mtgrpo import tiny
from mtgrpo.tasks import Task, paper_task, released_tasks
from mtgrpo.tasks.answers.reference import NO_REFERENCE
from mtgrpo.tasks.sources.reasoning_gym import Source

RELEASED = Path(__file__).parents[1] / "tests" / "data" / "released_rows.jsonl"
ROWS = 12  # of each task; other ones in each chunk
Judge = Callable[[str], "bool | None"]


@dataclass
class Case:
    """One row of one scorer.

    Attributes:
        family: Scorers counted together.
        name: For findings.
        right: A right answer, without its box.
        kind: What right answers look like: ``arithmetic``, ``words`` or ``other``.
        others: Right answers of the family's other rows: what near misses are made of.
        score: Reward and accuracy of a completion.
        judge: Whether a completion is right; None when it cannot tell.
        tags: Whether the scorer also reads answer tags.
        share: Of its turns that it takes; below 1 for scorers that are much slower than the others.
    """

    family: str
    name: str
    right: str
    kind: str
    score: Callable[[str], tuple[float, float]]
    judge: Judge
    tags: bool = False
    share: float = 1.0
    others: list[str] = field(default_factory=list)


def all_cases(seed: int) -> list[Case]:
    """Cases of all scorers, one row after the other."""
    by_family: list[list[Case]] = []
    for family in ("countdown", "zebra", "arc"):
        for level in tiny.LEVELS:
            by_family.append(
                of_task(
                    tiny.tiny_task(family, level, num_train=ROWS, num_test=0, seed=seed), "tiny"
                )
            )
        for level in ("easy", "medium", "hard", "very_hard"):
            rows = 2 if family == "zebra" else ROWS  # the larger puzzles take a second to make
            task = paper_task(family, level, num_train=rows, num_test=0, seed=seed)
            by_family.append(of_task(task, "paper"))
    by_family += [of_task(task, "released") for task in released_tasks(RELEASED)]
    by_family += [of_dataset(name, seed) for name in (*EXACT, *JUDGED)]
    by_family += science()
    for cases in by_family:
        for case in cases:
            case.others = [other.right for other in cases]
    longest = max(len(cases) for cases in by_family)
    return [cases[i % len(cases)] for i in range(longest) for cases in by_family]


def of_task(task: Task, group: str) -> list[Case]:
    """The first rows of a task whose answers are an expression or words."""
    rows = [*task.train, *task.test][:ROWS]
    return [task_case(task, f"{group}/{task.name}", i, row) for i, row in enumerate(rows)]


def task_case(task: Task, family: str, i: int, row: Mapping[str, Any]) -> Case:
    assert task.oracle is not None
    right = task.oracle(row).removeprefix("\\boxed{").removesuffix("}")

    def score(text: str) -> tuple[float, float]:
        return task.score([row], [text])[0]

    def judge(text: str) -> bool:
        if not row.get("numbers"):
            return judges.same_words(text, row["answer"])
        try:
            return judges.right_expression(judges.boxed(text), row["numbers"], row["target"])
        except Unreadable:
            return False

    kind = "arithmetic" if row.get("numbers") else "words"
    return Case(family, f"{family} row {i}", right, kind, score, judge)


# ---- reasoning-gym ---------------------------------------------------------------------------------------------
EXACT = (
    *(
        "basic_arithmetic",
        "chain_sum",
        "products",
        "gcd",
        "lcm",
        "leg_counting",
        "letter_counting",
        "spell_backward",
    ),
    *(
        "caesar_cipher",
        "base_conversion",
        "string_manipulation",
        "simple_equations",
        "rotate_matrix",
        "game_of_life",
    ),
    *("syllogism", "string_insertion", "binary_matrix", "spiral_matrix", "zebra_puzzles", "arc_1d"),
)
"""Datasets with one right answer, as words, characters or a number."""


def numbers_of(text: str) -> list[Fraction]:
    """The numbers of a list."""
    cleaned = "".join(" " if c in "[](),'\"" else c for c in text)
    return [judges.number(part) for part in cleaned.split()]


def _factors(answer: str, entry: Mapping[str, Any]) -> bool:
    parts = answer.replace("×", " ").replace("*", " ").replace("x", " ").split()
    return sorted(map(int, parts)) == sorted(
        map(int, str(entry["answer"]).replace("×", " ").split())
    )


def _hexadecimal(answer: str, entry: Mapping[str, Any]) -> bool:
    return int(answer.strip(), 16) == int(entry["answer"], 16)


def _sorted_numbers(answer: str, entry: Mapping[str, Any]) -> bool:
    found, wanted = numbers_of(answer), numbers_of(str(entry["answer"]))
    if len(found) != len(wanted):
        return False
    return all(abs(a - b) <= Fraction(1, 10**9) for a, b in zip(found, wanted, strict=True))


def _expression(answer: str, entry: Mapping[str, Any]) -> bool:
    metadata = entry["metadata"]
    return judges.right_expression(answer, metadata["numbers"], metadata.get("target", 24))


def _queens(answer: str, entry: Mapping[str, Any]) -> bool:
    board = entry["metadata"]["puzzle"]
    return judges.queens(f"<answer>{answer}</answer>", len(board), board)


def _coin(answer: str, entry: Mapping[str, Any]) -> bool:
    return abs(judges.number(answer) - judges.number(str(entry["answer"]))) <= Fraction(1, 1000)


def _complex(answer: str, entry: Mapping[str, Any]) -> bool:
    found = judges.complex_number(answer)
    return all(
        abs(a - b) <= Fraction(1, 10**9)
        for a, b in zip(found, entry["metadata"]["result"], strict=True)
    )


def _conclusion(answer: str, entry: Mapping[str, Any]) -> bool:
    return judges.follows(answer, entry["metadata"]["premises"], entry["metadata"]["variables"])


JUDGED: dict[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "prime_factorization": _factors,
    "bitwise_arithmetic": _hexadecimal,
    "number_sorting": _sorted_numbers,
    "countdown": _expression,
    "puzzle24": _expression,
    "n_queens": _queens,
    "coin_flip": _coin,
    "complex_arithmetic": _complex,
    "propositional_logic": _conclusion,
}
"""Datasets that take several answers, each with its judge."""


def of_dataset(name: str, seed: int) -> list[Case]:
    """Rows of a reasoning-gym dataset with the dataset's scorer, as a task of it has them."""
    assert name not in NO_REFERENCE
    num = 3 if name == "zebra_puzzles" else ROWS
    source = Source(name, seed, 0, num, lambda entry, index: {"prompt": str(entry["question"])}, {})
    cases = [dataset_case(source, name, i) for i in range(num)]
    return [
        case for case in cases if case.right
    ]  # an empty box is no answer, though a manipulated string may be empty


def dataset_case(source: Source, name: str, index: int) -> Case:
    entry = source.entry(index)
    completion = source.oracle(index)
    right = judges.last_answer(completion)

    def score(text: str) -> tuple[float, float]:
        value = source.score(text, index)
        return value, float(value >= 1.0)

    def judge(text: str) -> bool:
        if name in JUDGED:
            try:
                return JUDGED[name](judges.last_answer(text), entry)
            except (Unreadable, ValueError, ZeroDivisionError):
                return False
        return judges.same_answer(text, right) or _same_literal(text, right)

    kind = (
        "arithmetic" if name in ("countdown", "puzzle24") else "words" if name in EXACT else "other"
    )
    return Case(
        f"reasoning_gym/{name}",
        f"reasoning_gym/{name} entry {index}",
        right,
        kind,
        score,
        judge,
        tags=True,
    )


def _same_literal(text: str, reference: str) -> bool:
    """Whether both are the same list of lists, however it is spaced."""
    try:
        found = judges.last_answer(text)
        return len(found) < 5_000 and ast.literal_eval(found) == ast.literal_eval(reference)
    except (Unreadable, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


# ---- answers of datasets ---------------------------------------------------------------------------------------
def science() -> list[list[Case]]:
    """The letters of SciKnowEval, and MATH where math-verify is installed."""
    module = importlib.import_module("mtgrpo.tasks.sources.science")
    letters = [
        reward_case("science/choice", module.choice_reward, letter, _letter) for letter in "ABCD"
    ]
    found = [letters]
    if importlib.util.find_spec("math_verify") is not None:
        answers = ("\\frac{3}{4}", "2\\sqrt{5}", "x^2+3x-1", "(1,\\infty)", "120", "\\{1,2,3\\}")
        found.append(
            [reward_case("science/math", module.math_reward, answer, None) for answer in answers]
        )
        for case in found[-1]:
            case.share = 0.02  # sympy takes milliseconds to seconds for one
    return found


def reward_case(
    family: str,
    reward: Callable[..., Sequence[float]],
    answer: str,
    judge: Callable[[str, str], bool] | None,
) -> Case:
    def score(text: str) -> tuple[float, float]:
        value = reward(completions=[text], answer=[answer])[0]
        return value, float(value >= 1.0)

    def judged(text: str) -> bool | None:
        if judge is not None:
            return judge(text, answer)
        return (
            True if judges.same_answer(text, answer) else None
        )  # what else is equal, sympy alone knows

    return Case(family, f"{family} {answer}", answer, "words" if judge else "other", score, judged)


def _letter(text: str, answer: str) -> bool:
    try:
        return [
            c for c in judges.shown(judges.boxed(text)) if c not in "().\t\n " and not c.isspace()
        ] in (
            [answer.upper()],
            [answer.lower()],
        )
    except Unreadable:
        return False

r"""The tasks of the paper's third experiment that come from datasets: MATH and SciKnowEval.

Both end in ``\boxed{...}`` and earn 1 when right, 0.1 when wrong in a box, 0 otherwise, as the
generated tasks do. The experiment's ARC is ``{paper: arc, ...}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.errors import TaskError, require
from mtgrpo.tasks.answers.boxed import last_boxed
from mtgrpo.tasks.answers.latex import unwrap
from mtgrpo.tasks.answers.math_equal import comparisons
from mtgrpo.tasks.answers.math_form import same_answer
from mtgrpo.tasks.columns import answer_text
from mtgrpo.tasks.scores import Completion, completion_text
from mtgrpo.tasks.sources.hub import load_split
from mtgrpo.tasks.sources.reasoning_gym import PAPER_TEMPLATE
from mtgrpo.tasks.sources.rows import rows_task
from mtgrpo.tasks.task import Task

Rows = Sequence[Mapping[str, Any]]
MATH_DATASET = "nlile/hendrycks-MATH-benchmark"
SCIKNOWEVAL_DATASET = "hicai-zju/SciKnowEval"
DOMAINS = ("Biology", "Chemistry", "Material", "Physics")
"""SciKnowEval's domains."""
MAX_MATH_ANSWER = 200
"""Longest answer, in characters, that sympy gets to see."""
_MATH = "{problem} Give your final answer in \\boxed{{}}."
_CHOICE = "{question}\n{choices}\nGive the letter of the right choice in \\boxed{{}}."


def math_task(
    name: str = "math",
    *,
    dataset: str = MATH_DATASET,
    revision: str | None = None,
    train: Rows | None = None,
    test: Rows | None = None,
) -> Task:
    """MATH (Hendrycks et al., 2021), scored with math-verify.

    Args:
        name: The task's name.
        dataset: Dataset on the Hugging Face Hub with the splits train and test and the columns
            problem and answer.
        revision: Commit, tag or branch of the dataset.
        train: Rows with these columns, instead of the dataset's.
        test: Rows to test on; given together with `train` or not at all.

    Raises:
        TaskError: The dataset cannot be loaded, or lacks a column.
        MissingExtra: math-verify, or datasets, is not installed.
    """
    require("math_verify", "math")
    splits = _splits(name, dataset, revision, train, test)

    def rendered(rows: Any) -> list[dict[str, Any]]:
        columns = _columns(name, rows, ("problem", "answer"))
        return [
            {
                "prompt": _prompt(_MATH.format(problem=problem)),
                "answer": answer_text(answer, f"task {name!r}: answer"),
            }
            for problem, answer in columns
        ]

    train_rows, test_rows = map(rendered, splits)
    return rows_task(
        name, train_rows, test=test_rows, reward=math_reward, correct_at=1.0, family="math"
    )


def math_reward(
    completions: Sequence[Completion], answer: Sequence[str], **columns: object
) -> list[float]:
    """1 for a boxed answer that equals the reference, 0.1 for another boxed one, 0 otherwise."""

    def score(completion: Completion, reference: str) -> float:
        reference = answer_text(reference, "math_reward: answer")
        given = last_boxed(completion_text(completion), MAX_MATH_ANSWER)
        if given is None:
            return 0.0

        same_text = unwrap(given) == unwrap(reference)
        return 1.0 if same_text or same_answer(reference, given, comparisons()) else 0.1

    return [
        score(completion, reference)
        for completion, reference in zip(completions, answer, strict=True)
    ]


def sciknoweval_task(
    domain: str,
    name: str | None = None,
    *,
    dataset: str = SCIKNOWEVAL_DATASET,
    revision: str | None = None,
    test_fraction: float = 0.1,
    rows: Rows | None = None,
) -> Task:
    """The multiple-choice questions of one of SciKnowEval's domains (Feng et al., 2024).

    Args:
        domain: One of `DOMAINS`.
        name: The task's name; the domain in lower case by default.
        dataset: Dataset on the Hugging Face Hub with one split, test.
        revision: Commit, tag or branch of the dataset.
        test_fraction: Share of the questions to test on; the dataset has no split to train on.
        rows: Rows of the same form, instead of the dataset's.

    Raises:
        TaskError: The domain is unknown or has no question, or the dataset cannot be loaded.
        MissingExtra: datasets is not installed.
    """
    if domain not in DOMAINS:
        raise TaskError(f"SciKnowEval: unknown domain {domain!r}; allowed: {', '.join(DOMAINS)}")

    name = name or domain.lower()
    if rows is None:
        rows = load_split(name, dataset, None, "test", revision)

    rendered: list[dict[str, str]] = []
    wanted = ("domain", "question", "choices", "answerKey")
    for row_domain, question, choices, key in _columns(name, rows, wanted):
        if row_domain != domain or not choices or not key or not choices.get("text"):
            continue
        text = _CHOICE.format(question=question, choices=_lettered(choices))
        rendered.append({"prompt": _prompt(text), "answer": str(key)})

    if not rendered:
        raise TaskError(
            f"task {name!r}: {dataset} has no multiple-choice question of the domain {domain!r}"
        )
    return rows_task(
        name,
        rendered,
        test_fraction=test_fraction,
        reward=choice_reward,
        correct_at=1.0,
        floor=0.25,
        family="sciknoweval",
    )


def choice_reward(
    completions: Sequence[Completion], answer: Sequence[str], **columns: object
) -> list[float]:
    """1 for the letter of the right choice in a box, 0.1 for another boxed text, 0 otherwise."""

    def score(completion: Completion, letter: str) -> float:
        given = last_boxed(completion_text(completion))
        if given is None:
            return 0.0

        chosen = unwrap(given).strip("(). ").upper()
        return 1.0 if chosen == letter.strip().upper() else 0.1

    return [
        score(completion, letter) for completion, letter in zip(completions, answer, strict=True)
    ]


def _splits(
    name: str, dataset: str, revision: str | None, train: Rows | None, test: Rows | None
) -> tuple[Any, Any]:
    if (train is None) != (test is None):
        raise TaskError(f"task {name!r}: give both train and test rows, or neither")
    if train is not None:
        return train, test

    return (
        load_split(name, dataset, None, "train", revision),
        load_split(name, dataset, None, "test", revision),
    )


def _columns(name: str, rows: Any, wanted: Sequence[str]) -> list[list[Any]]:
    values: list[list[Any]] = []
    for row in rows:
        for column in wanted:
            if column not in row:
                raise TaskError(f"task {name!r}: no column {column!r}; found: {', '.join(row)}")
        values.append([row[column] for column in wanted])
    return values


def _lettered(choices: Mapping[str, Sequence[str]]) -> str:
    pairs = zip(choices["label"], choices["text"], strict=True)
    return "\n".join(f"{label}) {text}" for label, text in pairs)


def _prompt(question: str) -> str:
    return PAPER_TEMPLATE.replace("{question}", question)

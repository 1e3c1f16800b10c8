"""The rewards of the paper's task families: 1 right, 0.1 wrong in a parsable box, 0 otherwise.

Both are pure and total: any text gives a `Score`, in time linear in its length, and never an
exception. `mtgrpo.tasks.answers.boxed.last_boxed` decides what counts as the answer. Source: arXiv
2602.05547, appendix on tasks; the released code's own versions evaluate model text and misread it
in ways that tests/tasks/answers/test_rewards.py lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtgrpo.tasks.answers.arithmetic import NotArithmetic, evaluate
from mtgrpo.tasks.answers.boxed import last_boxed
from mtgrpo.tasks.answers.latex import as_arithmetic, unwrap
from mtgrpo.tasks.columns import answer_text, whole_number, whole_numbers
from mtgrpo.tasks.scores import Score

CORRECT = Score(1.0, 1.0)
WRONG = Score(0.1, 0.0)
NO_ANSWER = Score(0.0, 0.0)


def score_countdown(text: str, numbers: Sequence[int], target: int) -> Score:
    r"""Score an arithmetic expression that must use every number exactly once and reach the target.

    Args:
        text: The completion. LaTeX (``\times``, ``\div``, ``\frac{a}{b}``, ``$``) is understood.
        numbers: The given numbers; one that is given twice must be used twice. See
            `mtgrpo.tasks.columns.whole_numbers` for what is a number.
        target: The value to reach, exactly. ``= target`` may follow the expression.

    Returns:
        `CORRECT`, `WRONG` or `NO_ANSWER`.

    Raises:
        TaskError: The target or a number is no whole number. The text never makes it raise.
    """
    target = whole_number(target, "score_countdown: target")
    numbers = whole_numbers(numbers, "score_countdown: numbers")

    answer = last_boxed(text)
    if answer is None:
        return NO_ANSWER

    expression, equals, result = as_arithmetic(answer).partition("=")
    if equals and result.strip() != str(target):
        return WRONG

    try:
        value, used = evaluate(expression)
    except NotArithmetic:
        return WRONG
    right = value == target and sorted(used) == sorted(numbers)
    return CORRECT if right else WRONG


def score_exact(text: str, answer: str) -> Score:
    """Score an answer that must be the given text; case, spacing and LaTeX wrappers do not count.

    Args:
        text: The completion.
        answer: The right answer, such as ``alice`` or ``0 0 9 9``.

    Returns:
        `CORRECT`, `WRONG` or `NO_ANSWER`.

    Raises:
        TaskError: The answer is neither a text nor a whole number.
    """
    answer = answer_text(answer, "score_exact: answer")

    given = last_boxed(text)
    if given is None:
        return NO_ANSWER

    plain = unwrap(given).casefold()
    right = bool(plain) and plain == unwrap(answer).casefold()
    return CORRECT if right else WRONG

"""Checking a task before hours are spent on it."""

from __future__ import annotations

import json
from collections.abc import Callable

from mtgrpo.core.types import TOLERANCE, all_equal, at_least
from mtgrpo.errors import MissingExtra, MtgrpoError
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.tasks.scores import Completion, Row, Score
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet, prompt_key

HOSTILE_COMPLETIONS = (
    "",
    "\x00\ud800\u202e",
    "\\boxed{",
    "\\boxed{}",
    "}" * 1_000,
    "\\boxed{" + "(" * 300 + "}",
    "\\boxed{96**73**8}",
    "\\boxed{__import__('os').getcwd()}",
    "<answer>" * 500,
    "<answer>[[1, 2], {'a': None}]</answer>",
    "\\boxed{" * 5_000,
)
"""Completions on which no reward may raise or hang."""


def check_task(task: Task, num_rows: int = 20) -> list[str]:
    """What is wrong with a task, as far as a few rows show it.

    Looks at the first rows of both splits: they are mappings that JSON can hold and that are the
    same twice; the oracle's completion, where there is one, is correct; an empty completion is
    neither correct nor rewarded; hostile completions are scored; the same completion gets the same
    score twice; no prompt is in both splits.

    Args:
        task: The task.
        num_rows: Number of rows to look at in each split.

    Returns:
        One line per problem; empty when all is well.

    Raises:
        MissingExtra: the reward needs a package that is not installed.
    """
    problems: list[str] = []
    try:
        TaskSet(task).check_disjoint()
    except MtgrpoError as error:
        problems.append(str(error))

    first_place: dict[str, str] = {}  # of each prompt
    for split, rows in (("test", task.test), ("train", task.train)):
        for i in range(min(num_rows, len(rows))):
            where = f"{split} row {i}"

            def report(problem: str, where: str = where) -> None:
                problems.append(f"{where}: {problem}")

            try:
                row = rows[i]
                _check_row(task, row, rows[i], i, report)
                key = prompt_key(row["prompt"])
            except MissingExtra:
                raise
            except Exception as error:
                report(f"{type(error).__name__}: {error}")
                continue

            other = first_place.setdefault(key, where)
            if not other.startswith(split):
                report(f"the same prompt is {other}")
    return problems


def _check_row(task: Task, row: Row, again: Row, index: int, report: Callable[[str], None]) -> None:
    """Report what is wrong with one row. What makes further checks impossible is raised."""
    try:
        text = json.dumps(row, sort_keys=True)
        if text != json.dumps(again, sort_keys=True):
            report("not the same when it is looked at again")
    except (TypeError, ValueError) as error:
        report(f"JSON cannot hold it: {error}")

    def score(completion: Completion) -> Score:
        return task.score([row], [completion], [index])[0]

    reward, accuracy = score("")
    if accuracy is not None and max(reward, accuracy) > TOLERANCE:
        report(
            f"an empty completion has reward {reward:g} and accuracy {accuracy:g}; both should be 0"
        )
    _check_range(task, reward, report)

    if task.oracle is not None:
        try:
            answer = task.oracle(own_copy(row))
        except Exception as error:
            report(f"the oracle raised {type(error).__name__}: {error}")
        else:
            _check_oracle(answer, score(answer), report)

    if index > 0:
        return
    for completion in HOSTILE_COMPLETIONS:
        try:
            if not same_score(score(completion), score(completion)):
                report(f"scored differently the second time: {completion[:40]!r}")
        except MissingExtra:
            raise
        except MtgrpoError as error:
            report(f"completion {completion[:40]!r}: {error}")


def same_score(first: Score, second: Score) -> bool:
    """Whether two scores are the same, within `mtgrpo.core.types.TOLERANCE`."""
    if (first.accuracy is None) != (second.accuracy is None):
        return False

    accuracies = (first.accuracy or 0.0, second.accuracy or 0.0)
    return all_equal((first.reward, second.reward)) and all_equal(accuracies)


def _check_range(task: Task, reward: float, report: Callable[[str], None]) -> None:
    if task.reward_range is not None:
        low, high = task.reward_range
        if not low - TOLERANCE <= reward <= high + TOLERANCE:
            report(f"a completion has reward {reward:g}, outside reward_range [{low:g}, {high:g}]")


def _check_oracle(answer: str, score: Score, report: Callable[[str], None]) -> None:
    if score.accuracy is None:
        report(
            f"the oracle's completion has reward {score.reward:g}, and nothing says whether that "
            "is right; give correct_at, or return a Score"
        )
    elif not at_least(score.accuracy, 1.0):
        report(
            f"the oracle's completion has reward {score.reward:g} and accuracy "
            f"{score.accuracy:g}: {answer!r}"
        )

"""Checking a task before hours are spent on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from mtgrpo.core.types import TOLERANCE, all_equal, at_least
from mtgrpo.errors import MissingExtra, MtgrpoError, RewardError, counted
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.tasks.probes import HOSTILE_COMPLETIONS, as_completion, attempts
from mtgrpo.tasks.scores import Row, Score
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet, prompt_key

NUM_TRIED = 3
"""Rows of each split whose own values are tried as answers: a reward may be slow."""


def check_task(task: Task, num_rows: int = 20) -> list[str]:
    """What is wrong with a task, as far as a few rows show it.

    Looks at the first rows of both splits: they are mappings that JSON can hold and that are the
    same twice; the oracle's completion, where there is one, is correct; an empty completion is
    neither correct nor rewarded; hostile completions are scored, alone and together; the same
    completion gets the same score twice; not every completion earns alike; no prompt is in both
    splits.

    Args:
        task: The task.
        num_rows: Number of rows to look at in each split.

    Returns:
        One line per problem, which says how many rows have it; empty when all is well.

    Raises:
        MissingExtra: the reward needs a package that is not installed.
    """
    return examine_task(task, num_rows).problems


@dataclass(frozen=True)
class Findings:
    """What a look at a task showed.

    Attributes:
        problems: A line for each thing that is wrong.
        remarks: A line for each that may be wrong: no reward was earned, and nobody knows whether
            one can be.
    """

    problems: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])


def examine_task(task: Task, num_rows: int = 20) -> Findings:
    """As `check_task`, with what only may be wrong.

    Args:
        task: The task.
        num_rows: Number of rows to look at in each split.

    Raises:
        MissingExtra: the reward needs a package that is not installed.
    """
    findings = Findings()
    try:
        TaskSet(task).check_disjoint()
    except MtgrpoError as error:
        findings.problems.append(str(error))

    look = _Look(task)
    first_place: dict[str, str] = {}  # of each prompt
    for split, rows in (("test", task.test), ("train", task.train)):
        for i in range(min(num_rows, len(rows))):
            look.where, look.index = f"{split} row {i}", i
            try:
                row = rows[i]
                look.at_row(row, rows[i])
                key = prompt_key(row["prompt"])
            except MissingExtra:
                raise
            except Exception as error:
                look.report(f"{type(error).__name__}: {look.without_row(error)}")
                continue

            other = first_place.setdefault(key, look.where)
            if not other.startswith(split):
                look.report(f"the same prompt is {other}")

    look.at_rewards()
    findings.problems.extend(look.lines())
    findings.remarks.extend(look.remarks)
    return findings


class _Look:
    """What rows and rewards of a task show, with equal problems of several rows as one line.

    Args:
        task: The task.

    Attributes:
        where: The row that is looked at.
        index: Its number.
        remarks: What only may be wrong.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.where, self.index = "", 0
        self.remarks: list[str] = []
        self._places: dict[str, list[str]] = {}  # of each problem
        self._scores: list[Score] = []

    def report(self, problem: str) -> None:
        """Note a problem of the row."""
        places = self._places.setdefault(problem, [])
        if self.where not in places:
            places.append(self.where)

    def lines(self) -> list[str]:
        """One line per problem, with the first row that has it."""
        lines: list[str] = []
        for problem, places in self._places.items():
            more = f" and {counted(len(places) - 1, 'more row')}" if len(places) > 1 else ""
            lines.append(f"{places[0]}{more}: {problem}" if places[0] else problem)
        return lines

    def without_row(self, error: Exception) -> str:
        """An error's text, less the row, which is said before it."""
        text, i = str(error), self.index
        for prompts in (f"prompt {i}", f"prompts {i} to {i}"):
            text = text.removeprefix(f"task {self.task.name!r}, {prompts}: ")
        return text

    def at_row(self, row: Row, again: Row) -> None:
        """Look at one row. What makes further checks impossible is raised."""
        try:
            text = json.dumps(row, sort_keys=True)
            if text != json.dumps(again, sort_keys=True):
                self.report("not the same when it is looked at again")
        except (TypeError, ValueError) as error:
            self.report(f"JSON cannot hold it: {error}")

        reward, accuracy = self._score(row, "")
        if accuracy is not None and max(reward, accuracy) > TOLERANCE:
            self.report(
                f"an empty completion has reward {reward:g} and accuracy {accuracy:g}; both should "
                "be 0"
            )
        self._look_at_range(reward)

        if self.task.oracle is not None:
            try:
                answer = self.task.oracle(own_copy(row))
            except Exception as error:
                self.report(f"the oracle raised {type(error).__name__}: {error}")
            else:
                self._look_at_oracle(answer, self._score(row, answer))

        completions = attempts(row) if self.index < NUM_TRIED else []
        if self.index == 0:
            completions += HOSTILE_COMPLETIONS
        if self._look_at_each(row, completions) and self.index == 0:
            self._look_together(row)

    def _score(self, row: Row, text: str) -> Score:
        score = self.task.score([row], [as_completion(row, text)], [self.index])[0]
        self._scores.append(score)
        return score

    def _look_at_range(self, reward: float) -> None:
        if self.task.reward_range is not None:
            low, high = self.task.reward_range
            if not low - TOLERANCE <= reward <= high + TOLERANCE:
                self.report(
                    f"a completion has reward {reward:g}, outside reward_range [{low:g}, {high:g}]"
                )

    def _look_at_oracle(self, answer: str, score: Score) -> None:
        if score.accuracy is None:
            self.report(
                f"the oracle's completion has reward {score.reward:g}, and nothing says whether "
                "that is right; give correct_at, or return a Score"
            )
        elif not at_least(score.accuracy, 1.0):
            self.report(
                f"the oracle's completion has reward {score.reward:g} and accuracy "
                f"{score.accuracy:g}: {answer!r}"
            )

    def _look_at_each(self, row: Row, completions: Sequence[str]) -> bool:
        """Score completions twice; whether all of them could be scored."""
        failed: dict[str, list[str]] = {}
        for completion in completions:
            try:
                if not same_score(self._score(row, completion), self._score(row, completion)):
                    self.report(f"scored differently the second time: {completion[:40]!r}")
            except MissingExtra:
                raise
            except MtgrpoError as error:
                failed.setdefault(self.without_row(error), []).append(f"{completion[:40]!r}")

        for error, alike in failed.items():
            more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
            self.report(f"completion {alike[0]}{more}: {error}")
        return not failed

    def _look_together(self, row: Row) -> None:
        """A group's completions are scored in one call."""
        count = len(HOSTILE_COMPLETIONS)
        try:
            completions = [as_completion(row, text) for text in HOSTILE_COMPLETIONS]
            self.task.score([row] * count, completions, [self.index] * count)
        except RewardError as error:
            text = str(error).partition(": ")[2]
            self.report(f"{count} completions in one call: {text}")

    def at_rewards(self) -> None:
        """Look at the rewards of all completions together."""
        if len(self._scores) < 2:
            return

        rewards = [score.reward for score in self._scores]
        accuracies = [score.accuracy for score in self._scores if score.accuracy is not None]
        self.where = ""
        tried = f"all {len(rewards):,} completions tried, some made of the rows' own values,"

        if all_equal(rewards) and abs(rewards[0]) > TOLERANCE:
            self.report(
                f"{tried} earned {rewards[0]:g}: where all earn alike there is nothing to learn; "
                "let the reward tell good answers from bad ones"
            )
        elif all_equal(rewards):
            self.remarks.append(
                f"{tried} earned 0; see that a right answer earns more, or nothing will be trained "
                "on: with an oracle this check tries one"
            )
        elif accuracies and max(accuracies) < TOLERANCE:
            self.remarks.append(
                f"{tried} count as wrong, and earned up to {max(rewards):g}{self._threshold()}; "
                "see that a right answer counts as right: groups without one are left out"
            )

    def _threshold(self) -> str:
        at = self.task.correct_at
        return "" if at is None else f" where correct_at is {at:g}"


def same_score(first: Score, second: Score) -> bool:
    """Whether two scores are the same, within `mtgrpo.core.types.TOLERANCE`."""
    if (first.accuracy is None) != (second.accuracy is None):
        return False

    accuracies = (first.accuracy or 0.0, second.accuracy or 0.0)
    return all_equal((first.reward, second.reward)) and all_equal(accuracies)

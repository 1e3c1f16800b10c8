"""What a model does on each task before it is trained, and whether the mixture needs task shares.

Two figures decide (docs/profile.md): a task's *even part*, the share of the informative groups that
it gets when every task is asked alike, over what it would get if all tasks were as informative;
and how far the accuracies are apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from mtgrpo.errors import counted

Z = 1.96
"""Half-width of a 95 % interval in standard errors."""

NO_SIGNAL = 0.05
"""Acceptance below which a task teaches next to nothing: under one group in twenty."""
SATURATED = 0.95
"""Accuracy from which a task has nothing left to learn."""
STARVED = 0.45
"""Even part below which plain GRPO leaves a task behind."""
ACCURACY_SPREAD = 0.5
"""Distance between the best and the worst accuracy from which adaptive weights change much."""


KEEP = "keep"
"""The advice where there is none."""


class Range(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class TaskProfile:
    """One task.

    Attributes:
        name: The task.
        family: Its family.
        level: Its level, where it has one.
        num_prompts: Prompts that were asked.
        group_size: Completions of each.
        accuracy: Mean over prompts.
        accuracy_range: Of it.
        acceptance: Share of the prompts with some right and some wrong completions.
        acceptance_range: Of it.
        tokens: Mean length of a completion.
        seconds: Time of a completion, all of generation and reward included.
    """

    name: str
    family: str
    level: str
    num_prompts: int
    group_size: int
    accuracy: float
    accuracy_range: Range
    acceptance: float
    acceptance_range: Range
    tokens: float
    seconds: float

    @property
    def seconds_per_informative(self) -> float:
        """Time for one informative group; infinite where none was seen."""
        if self.acceptance == 0:
            return math.inf
        return self.group_size * self.seconds / self.acceptance

    @property
    def advice(self) -> str:
        """What to do with the task."""
        if self.accuracy >= SATURATED:
            return "nothing left to learn: take a harder level, or leave it out"

        if self.acceptance >= NO_SIGNAL:
            return KEEP
        if self.acceptance_range.high >= 2 * NO_SIGNAL:
            return "too few prompts to tell: profile with more (--num)"
        if self.accuracy > 0.5:
            return "hardly a group teaches, all right or all wrong: take a harder level"
        return "hardly a group teaches: take an easier level, or warm the model up"


@dataclass(frozen=True)
class MixtureProfile:
    """All tasks, and what to do.

    Attributes:
        model: The model.
        tasks: Its tasks.
        graded: Tasks without a notion of right, which have no profile.
    """

    model: str
    tasks: tuple[TaskProfile, ...]
    graded: tuple[str, ...] = ()

    @property
    def informative(self) -> tuple[TaskProfile, ...]:
        """Tasks that can be learned from."""
        return tuple(task for task in self.tasks if task.acceptance > 0)

    @property
    def even_parts(self) -> dict[str, float]:
        """Of each task: its informative groups under plain GRPO over an even part of all."""
        total = sum(task.acceptance for task in self.tasks)
        if total == 0:
            return {task.name: 0.0 for task in self.tasks}
        return {task.name: len(self.tasks) * task.acceptance / total for task in self.tasks}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why plain GRPO will not do; empty where it will."""
        learnable = [task for task in self.tasks if task.accuracy < SATURATED]
        if len(learnable) < 2:
            return ()

        reasons: list[str] = []
        mean = sum(task.acceptance for task in self.tasks) / len(self.tasks)
        for task in learnable:
            if task.acceptance_range.high < mean and self.even_parts[task.name] < STARVED:
                reasons.append(
                    f"{task.name} would get {self.even_parts[task.name]:.2f} of an even part of "
                    "the informative groups"
                )

        worst = min(learnable, key=lambda task: task.accuracy)
        best = max(learnable, key=lambda task: task.accuracy)
        if best.accuracy_range.low - worst.accuracy_range.high > ACCURACY_SPREAD:
            reasons.append(
                f"{worst.name} is {100 * (best.accuracy - worst.accuracy):.0f} points below "
                f"{best.name}"
            )
        return tuple(reasons)

    @property
    def verdict(self) -> str:
        """One line."""
        if not self.informative and self.graded:
            return (
                "no group of the tasks with right answers had both right and wrong completions: "
                "nothing can be learned from these by GRPO; warm the model up on their answer "
                "format, or take easier tasks; graded ones are not judged"
            )
        if not self.informative:
            return (
                "no group had both right and wrong completions: nothing can be learned by GRPO; "
                "warm the model up on the answer format, or take easier tasks"
            )
        if len(self.tasks) == 1 and not self.graded:
            return "one task: plain GRPO will do"

        reasons = self.reasons
        if not reasons and self.graded:
            return "no task with right answers would be left far behind; graded ones are not judged"
        if not reasons:
            return "plain GRPO will do: no task would be left far behind"
        return f"this mixture needs shares, because {'; '.join(reasons)}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` writes them."""
        tasks: list[dict[str, Any]] = []
        for task in self.tasks:
            seconds = task.seconds_per_informative
            tasks.append(
                {
                    **asdict(task),
                    "accuracy_range": list(task.accuracy_range),
                    "acceptance_range": list(task.acceptance_range),
                    "seconds_per_informative": None if math.isinf(seconds) else seconds,
                    "even_part": self.even_parts[task.name],
                    "advice": task.advice,
                }
            )

        return {
            "model": self.model,
            "tasks": tasks,
            "graded": list(self.graded),
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "levels": suggested_levels(self.tasks),
        }


def task_profile(
    name: str,
    prompt_accuracies: Sequence[float],
    *,
    group_size: int,
    tokens: float,
    seconds: float,
    family: str = "",
    level: str = "",
) -> TaskProfile:
    """The profile of a task from the accuracy of each prompt.

    Args:
        name: The task.
        prompt_accuracies: Mean over the completions of each prompt; NaN where none was scored.
        group_size: Completions of each prompt.
        tokens: Mean length of a completion.
        seconds: Time of a completion.
        family: Its family.
        level: Its level.
    """
    scored = [accuracy for accuracy in prompt_accuracies if not math.isnan(accuracy)]
    n = len(scored)
    if not n:
        empty = Range(0.0, 1.0)
        return TaskProfile(
            name, family, level, 0, group_size, 0.0, empty, 0.0, empty, tokens, seconds
        )

    mean = math.fsum(scored) / n
    variance = math.fsum((accuracy - mean) ** 2 for accuracy in scored) / max(n - 1, 1)
    num_mixed = sum(0.0 < accuracy < 1.0 for accuracy in scored)

    # As many independent draws as would spread like these prompts; at least the prompts themselves.
    trials = float(n)
    if 0 < variance < mean * (1 - mean):
        trials = n * mean * (1 - mean) / variance

    return TaskProfile(
        name=name,
        family=family,
        level=level,
        num_prompts=n,
        group_size=group_size,
        accuracy=mean,
        accuracy_range=wilson(mean, trials),
        acceptance=num_mixed / n,
        acceptance_range=wilson(num_mixed / n, n),
        tokens=tokens,
        seconds=seconds,
    )


def wilson(share: float, trials: float) -> Range:
    """Wilson's 95 % interval of a share, which is honest at 0 and 1 too."""
    centre = (share + Z * Z / (2 * trials)) / (1 + Z * Z / trials)
    spread = math.sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    half = Z * spread / (1 + Z * Z / trials)
    return Range(max(0.0, centre - half), min(1.0, centre + half))


def suggested_levels(tasks: Sequence[TaskProfile]) -> dict[str, list[str]]:
    """For each family with levels: the tasks worth training on, the most informative first."""
    families: dict[str, list[TaskProfile]] = {}
    for task in tasks:
        if task.level:
            families.setdefault(task.family, []).append(task)

    levels: dict[str, list[str]] = {}
    for family, members in families.items():
        useful = [task for task in members if task.advice == KEEP]
        useful.sort(key=lambda task: -task.acceptance)
        levels[family] = [task.level for task in useful]
    return levels


def describe_levels(tasks: Sequence[TaskProfile]) -> list[str]:
    """The same in words."""
    lines: list[str] = []
    for family, levels in suggested_levels(tasks).items():
        if levels:
            noun = "level" if len(levels) == 1 else "levels"
            lines.append(f"{family}: {noun} {', '.join(levels)}")
        else:
            num = sum(task.family == family and bool(task.level) for task in tasks)
            lines.append(f"{family}: none of the {counted(num, 'level')} here teaches")
    return lines

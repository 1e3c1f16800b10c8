"""What a round's generated groups say of their tasks, before the filter."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from mtgrpo.core.prompt_memory import fair_mean
from mtgrpo.core.types import Draw, State

Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class RoundStats:
    """Sums over generated groups. Keys are task names.

    Attributes:
        num_groups: Groups generated.
        num_scored: Groups with at least one scorable completion: what the sums run over.
        reward_sum: Sum of the groups' mean rewards, each as its `Draw` corrects it.
        accuracy_sum: Sum of the groups' mean accuracies, likewise.
        num_skipped: Prompts passed over on the way to the scored groups.
        num_skipped_right: Skipped prompts that were predicted to be all right.
        num_graded: Scored groups of which only rewards are known, no accuracies.
    """

    num_groups: dict[str, int] = field(default_factory=dict[str, int])
    num_scored: dict[str, int] = field(default_factory=dict[str, int])
    reward_sum: dict[str, float] = field(default_factory=dict[str, float])
    accuracy_sum: dict[str, float] = field(default_factory=dict[str, float])
    num_skipped: dict[str, int] = field(default_factory=dict[str, int])
    num_skipped_right: dict[str, int] = field(default_factory=dict[str, int])
    num_graded: dict[str, int] = field(default_factory=dict[str, int])

    def add(
        self, task: str, reward: float, accuracy: float, count: int = 1, draw: Draw | None = None
    ) -> None:
        """Count groups by their means; a NaN reward marks those without scorable completions.

        Args:
            task: Their task.
            reward: Mean reward of each.
            accuracy: Mean accuracy of each; NaN for graded groups, which have none.
            count: How many.
            draw: How the prompt was drawn, where prompts may be passed over.
        """
        _add(self.num_groups, task, count)
        if math.isnan(reward):
            return

        if draw is not None:
            reward, accuracy = draw.corrected(reward), draw.corrected(accuracy)
            _add(self.num_skipped, task, count * draw.num_skipped)
            _add(self.num_skipped_right, task, count * draw.skipped_right)

        _add(self.num_scored, task, count)
        _add(self.reward_sum, task, count * reward)
        if math.isnan(accuracy):
            _add(self.num_graded, task, count)
        else:
            _add(self.accuracy_sum, task, count * accuracy)

    def merge(self, other: RoundStats, tasks: Collection[str] | None = None) -> None:
        """Add another round's sums to these, of all tasks or of some."""
        for name in _NAMES:
            sums = getattr(self, name)
            for task, value in getattr(other, name).items():
                if tasks is None or task in tasks:
                    _add(sums, task, value)

    def mean_rewards(self) -> dict[str, float]:
        """Mean reward of the tasks that had any groups; see `mean_accuracies`."""
        return self._means(self.reward_sum)

    def mean_accuracies(self) -> dict[str, float]:
        """Mean accuracy of the tasks that had any groups, over all their prompts.

        Graded tasks have none: a task with a graded group is left out.

        Where prompts were passed over, the mean is an unbiased estimate from those asked, see
        `fair_mean`; with few groups it may lie outside the range of the values.
        """
        means = self._means(self.accuracy_sum)
        return {task: mean for task, mean in means.items() if not self.num_graded.get(task)}

    def graded(self) -> list[str]:
        """Tasks with graded groups."""
        return list(self.num_graded)

    def _means(self, sums: Mapping[str, float]) -> dict[str, float]:
        return fair_means(sums, self.num_scored, self.num_skipped, self.num_skipped_right)

    def state_dict(self) -> State:
        """JSON-able state."""
        return {name: dict(getattr(self, name)) for name in _NAMES}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        for name in _NAMES:
            setattr(self, name, dict(state[name]))


def fair_means(
    sums: Mapping[str, float],
    num_scored: Mapping[str, float],
    num_skipped: Mapping[str, float],
    num_right: Mapping[str, float],
) -> dict[str, float]:
    """`fair_mean` of every task with scored groups; missing numbers are 0."""
    return {
        task: fair_mean(
            sums.get(task, 0.0), count, num_skipped.get(task, 0), num_right.get(task, 0)
        )
        for task, count in num_scored.items()
    }


def _add(sums: dict[str, Number], task: str, value: Number) -> None:
    sums[task] = sums[task] + value if task in sums else value


_NAMES = tuple(f.name for f in fields(RoundStats))

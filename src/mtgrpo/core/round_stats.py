"""What a round's generated groups say of their tasks, before the filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mtgrpo.core.prompt_memory import fair_mean
from mtgrpo.core.types import Draw


@dataclass(slots=True)
class RoundStats:
    """Sums over generated groups. Keys are task names.

    Attributes:
        num_groups: Groups generated.
        num_scored: Groups with at least one scorable completion: what the sums run over.
        reward_sum: Sum of the groups' mean rewards, each as its `Draw` corrects it.
        accuracy_sum: Sum of the groups' mean accuracies, likewise.
        num_skipped: Prompts passed over on the way to the scored groups.
        num_skipped_right: Of those, the ones predicted to be all right.
    """

    num_groups: dict[str, int] = field(default_factory=dict[str, int])
    num_scored: dict[str, int] = field(default_factory=dict[str, int])
    reward_sum: dict[str, float] = field(default_factory=dict[str, float])
    accuracy_sum: dict[str, float] = field(default_factory=dict[str, float])
    num_skipped: dict[str, int] = field(default_factory=dict[str, int])
    num_skipped_right: dict[str, int] = field(default_factory=dict[str, int])

    def add(
        self, task: str, reward: float, accuracy: float, count: int = 1, draw: Draw | None = None
    ) -> None:
        """Count groups by their means; a NaN reward marks those without scorable completions.

        Args:
            task: Their task.
            reward: Mean reward of each.
            accuracy: Mean accuracy of each.
            count: How many.
            draw: How the prompt was drawn, where prompts may be passed over.
        """
        self.num_groups[task] = self.num_groups.get(task, 0) + count
        if reward != reward:  # NaN
            return
        if draw is not None:
            reward, accuracy = draw.corrected(reward), draw.corrected(accuracy)
            self.num_skipped[task] = self.num_skipped.get(task, 0) + count * draw.num_skipped
            self.num_skipped_right[task] = (
                self.num_skipped_right.get(task, 0) + count * draw.skipped_right
            )
        self.num_scored[task] = self.num_scored.get(task, 0) + count
        self.reward_sum[task] = self.reward_sum.get(task, 0.0) + count * reward
        self.accuracy_sum[task] = self.accuracy_sum.get(task, 0.0) + count * accuracy

    def merge(self, other: RoundStats) -> None:
        """Add another round's sums to these."""
        for name in _NAMES:
            mine, theirs = getattr(self, name), getattr(other, name)
            for task, value in theirs.items():
                mine[task] = mine.get(task, 0) + value

    def mean_rewards(self) -> dict[str, float]:
        """Mean reward of the tasks that had any groups, over all their prompts; see `mean_accuracies`."""
        return self._means(self.reward_sum)

    def mean_accuracies(self) -> dict[str, float]:
        """Mean accuracy of the tasks that had any groups, over all their prompts.

        Where prompts were passed over, the mean is an unbiased estimate from those asked, see
        `fair_mean`; with few groups it may lie outside the range of the values.
        """
        return self._means(self.accuracy_sum)

    def _means(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {
            task: fair_mean(
                sums[task],
                count,
                self.num_skipped.get(task, 0),
                self.num_skipped_right.get(task, 0),
            )
            for task, count in self.num_scored.items()
        }

    def dump(self) -> list[Any]:
        """JSON-able state."""
        return [dict(getattr(self, name)) for name in _NAMES]

    @classmethod
    def load(cls, state: Sequence[Any]) -> RoundStats:
        """What `dump` returned."""
        return cls(*(dict(part) for part in state))


_NAMES = tuple(f.name for f in fields(RoundStats))

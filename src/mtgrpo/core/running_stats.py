"""How well tasks are done of late: sums over counts, older steps fading."""

from __future__ import annotations

from collections.abc import Collection

from mtgrpo.core.round_stats import RoundStats, fair_means
from mtgrpo.core.types import State

DECAY = 0.9
"""What a step keeps of the weight of earlier ones, per further step with news of a task."""

_NAMES = (
    *("num_scored", "num_graded", "reward_sum", "accuracy_sum"),
    *("num_skipped", "num_skipped_right"),
)


class RunningStats:
    """Means over the recent steps in which a task had groups, every group weighing the same.

    The mean of the steps' means would be too high where few groups are informative: a step
    ends when it has what it needs, and a lucky one ends early.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = {name: {} for name in _NAMES}

    def observe(self, stats: RoundStats) -> None:
        """Take in all groups of a step."""
        for name, sums in self._sums.items():
            added = getattr(stats, name)
            for task in stats.num_scored:
                sums[task] = DECAY * sums.get(task, 0.0) + added.get(task, 0)

    def keep_tasks(self, tasks: Collection[str]) -> None:
        """Forget all other tasks."""
        for name, sums in self._sums.items():
            self._sums[name] = {task: value for task, value in sums.items() if task in tasks}

    def mean_rewards(self) -> dict[str, float]:
        """Mean reward of the tasks that have had groups."""
        return self._means("reward_sum")

    def mean_accuracies(self) -> dict[str, float]:
        """Mean accuracy likewise; graded tasks, which have none, are left out."""
        means = self._means("accuracy_sum")
        return {task: mean for task, mean in means.items() if not self._sums["num_graded"][task]}

    def graded(self) -> list[str]:
        """Tasks with graded groups."""
        return [task for task, count in self._sums["num_graded"].items() if count]

    def _means(self, name: str) -> dict[str, float]:
        sums = self._sums
        return fair_means(
            sums[name], sums["num_scored"], sums["num_skipped"], sums["num_skipped_right"]
        )

    def state_dict(self) -> State:
        """JSON-able state."""
        return {name: dict(sums) for name, sums in self._sums.items()}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._sums = {name: dict(state[name]) for name in _NAMES}

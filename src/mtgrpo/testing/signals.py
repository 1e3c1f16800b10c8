"""What steps give a weighting, and histories of steps that it has to live with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mtgrpo.core.weightings.base import TaskWeighting

Values: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Signals:
    """What one step gives a weighting: the arguments of `TaskWeighting.update`."""

    task_rewards: tuple[Values, ...]
    improvements: tuple[Values, ...]
    mean_abs_advantages: Values

    def shifted(self, constant: float) -> Signals:
        """The same step with a constant added to every reward."""
        return replace(
            self,
            task_rewards=tuple({k: v + constant for k, v in m.items()} for m in self.task_rewards),
        )


def signal_histories(tasks: Sequence[str]) -> dict[str, list[Signals]]:
    """Named histories of steps that a weighting has to live with, made for these tasks."""
    rng = np.random.default_rng(0)

    def values(low: float, high: float, present: float = 1.0) -> Values:
        return {t: float(rng.uniform(low, high)) for t in tasks if rng.random() < present}

    def constant(value: float) -> Values:
        return dict.fromkeys(tasks, value)

    def steps(number: int, make: Callable[[], Signals]) -> list[Signals]:
        return [make() for _ in range(number)]

    spread: Values = {task: (i + 1) / (len(tasks) + 1) for i, task in enumerate(tasks)}
    one_each = [Signals(({task: 0.5},), ({task: 0.05},), {task: 0.5}) for task in tasks]
    return {
        "constant": [Signals((spread,), (constant(0.01),), constant(0.3))] * 60,
        "all wrong": [Signals((constant(0.0),), (constant(0.0),), constant(0.0))] * 5,
        "all right": [Signals((constant(1.0),), (constant(0.0),), constant(0.0))] * 5,
        "nothing sampled": [Signals(({},), ({},), {})] * 3 + [Signals((spread,), ({},), {})],
        "no policy update": [Signals((spread,), (), constant(0.3))] * 3
        + [Signals((spread,), ({},), constant(0.3))],
        "one task at a time": one_each * 3,
        "huge improvements": steps(
            20, lambda: Signals((values(0, 1),), (values(-1e6, 1e6),), values(0, 2))
        ),
        "noise": steps(40, lambda: Signals((values(0, 1),), (values(-0.2, 0.2),), values(0, 1))),
        "absent tasks": steps(
            40, lambda: Signals((values(0, 1, 0.5),), (values(-0.1, 0.1, 0.5),), values(0, 1, 0.5))
        ),
        "rounds and minibatches": steps(
            20,
            lambda: Signals(
                tuple(values(0, 1, 0.7) for _ in range(int(rng.integers(1, 4)))),
                tuple(values(-0.2, 0.2, 0.7) for _ in range(4)),
                values(0, 1, 0.7),
            ),
        ),
    }


def update(weighting: TaskWeighting, signals: Signals) -> None:
    """Give a weighting a step."""
    weighting.update(
        task_rewards=signals.task_rewards,
        improvements=signals.improvements,
        mean_abs_advantages=signals.mean_abs_advantages,
    )

"""Several reward functions of a task, as one: their weighted sum, and what of them is right."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from mtgrpo.core.types import at_least
from mtgrpo.errors import TaskError, counted, unknown
from mtgrpo.tasks.faults import named
from mtgrpo.tasks.numeric import as_reward
from mtgrpo.tasks.scores import RewardFunction, Score

AccuracyRule: TypeAlias = "str | Callable[[Mapping[str, float]], float]"
"""The name of a reward function, or a function of all rewards of a completion by name."""


class SeveralRewards:
    """One reward function that asks several, in order.

    A function that returns None for a completion does not apply to it; where none applies, the
    result is None, too.

    Args:
        functions: The functions. Their names are those of `accuracy`.
        weights: One for each; 1 by default.
        accuracy: What says how right a completion is; None where nothing does.
        correct_at: A completion is right from this value of `accuracy` on; without it, that value
            is the accuracy itself.
        where: Begins every message.

    Raises:
        TaskError: Weights that do not fit, or a name that is no function's.
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction],
        weights: Sequence[float] | None = None,
        accuracy: AccuracyRule | None = None,
        correct_at: float | None = None,
        where: str = "rewards",
    ) -> None:
        self.functions = {getattr(f, "__name__", type(f).__name__): f for f in functions}
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(functions)
        self.accuracy, self.correct_at = accuracy, correct_at
        self.__name__ = " + ".join(self.functions)

        if not len(self.functions) == len(functions) == len(self.weights):
            raise TaskError(
                f"{where}: {counted(len(functions), 'reward function')} with "
                f"{counted(len(self.functions), 'name')} and "
                f"{counted(len(self.weights), 'weight')}; give each a name and a weight of its own"
            )
        if isinstance(accuracy, str) and accuracy not in self.functions:
            raise TaskError(
                unknown(f"{where}: accuracy", "reward function", accuracy, self.functions)
            )

    def __repr__(self) -> str:
        return f"SeveralRewards({self.__name__})"

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | Score | None]:
        """One value per completion."""
        values: list[list[Any]] = []
        for function in self.functions.values():
            of_one = list(function(prompts=prompts, completions=completions, **columns))
            if len(of_one) != len(completions):
                raise ValueError(
                    f"{named(function)} returned {counted(len(of_one), 'value')} for "
                    + counted(len(completions), "completion")
                )
            values.append([_reward(value, function) for value in of_one])

        return [self._joined(row) for row in zip(*values, strict=True)]

    def _joined(self, row: Sequence[float]) -> float | Score | None:
        applying = [w * value for w, value in zip(self.weights, row, strict=True) if value == value]
        if not applying:
            return None

        total = math.fsum(applying)
        if self.accuracy is None:
            return total

        by_name = dict(zip(self.functions, row, strict=True))
        rule = self.accuracy
        value = by_name[rule] if isinstance(rule, str) else float(rule(by_name))
        if self.correct_at is not None and not math.isnan(value):
            value = float(at_least(value, self.correct_at))
        return Score(total, None if math.isnan(value) else value)


def _reward(value: Any, function: RewardFunction) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan

    reward = as_reward(value.reward if isinstance(value, Score) else value)
    if reward is None:
        raise ValueError(f"{named(function)} returned {reprlib.repr(value)}, no finite number")
    return reward

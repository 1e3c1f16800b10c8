"""What a step may cost, and in which unit that is counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mtgrpo.core.types import Group
from mtgrpo.errors import ConfigError, counted, unknown

TIGHT_STEPS = 3
"""Steps of one group in a row, before a budget is called too small."""
UNITS = ("groups", "completions", "tokens", "seconds")


class Budget:
    """What a step may cost.

    Args:
        stated: ``{"groups": 24}``, ``{"completions": 192}``, ``{"tokens": 4096}`` or
            ``{"seconds": 30}``; None: as many groups as a batch has. A step generates at least one
            group, whatever it costs.

    Attributes:
        unit: One of `UNITS`.
        amount: How many of it; infinite where none is stated.

    Raises:
        ConfigError: Another unit, none or several, or an amount that is no positive number.
    """

    def __init__(self, stated: Mapping[str, Any] | None) -> None:
        self.unit: str = "groups"
        self.amount: float = np.inf
        if stated is None:
            return

        for unit in stated:
            if unit not in UNITS:
                raise ConfigError(unknown("budget", "unit", unit, UNITS))
        if len(stated) != 1:
            raise ConfigError(
                f"budget: {dict(stated)}; state one of {', '.join(UNITS)}, as in {{tokens: 4096}}"
            )

        ((self.unit, amount),) = stated.items()
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not is_number or not 0 < amount < np.inf:
            raise ConfigError(
                f"budget: {amount!r} {self.unit}; it must be a number above 0 and finite"
            )
        self.amount = amount

    @property
    def text(self) -> str:
        """As messages have it: ``1 token``, ``0.5 seconds``."""
        amount = int(self.amount) if float(self.amount).is_integer() else self.amount
        return counted(amount, self.unit.removesuffix("s"))

    @property
    def is_measured(self) -> bool:
        """Whether only the groups that came back say what one costs."""
        return self.unit != "groups"

    def cost(self, group: Group) -> float:
        """What a group cost, in this unit.

        Raises:
            ConfigError: The engine did not tell it.
        """
        if not self.is_measured:
            return 1.0
        if self.unit == "completions":
            return float(len(group.rewards))

        told = None if group.cost is None else getattr(group.cost, self.unit)
        if told is None or not 0 <= told < np.inf:
            raise ConfigError(
                f"tell: a group of task {group.task!r} with cost={group.cost}; the sampler's "
                f"budget is in {self.unit}: give Group(cost=Cost({self.unit}=...)), at least 0, or "
                "choose a budget in groups"
            )
        return float(told)


class TightBudget:
    """Says once of a budget that it does not pay for the one group that every step has.

    Args:
        budget: A sampler's; None where it has none.
        batch_size: Groups of a step without a budget.
    """

    def __init__(self, budget: Budget | None, batch_size: int) -> None:
        self._budget, self._batch_size = budget, batch_size
        self._num_steps = 0
        self._is_told = False

    def notice(self, num_groups: int, expected_costs: Collection[float]) -> str:
        """What to tell the user after a step; empty for nothing.

        Args:
            num_groups: Groups that the step generated.
            expected_costs: What a group of each task was expected to cost; empty where not known.
        """
        if self._budget is None or not self._budget.is_measured or self._batch_size == 1:
            return ""

        # A budget of somewhat more than a group has steps of one group, too.
        is_below = self._budget.amount < min(expected_costs, default=0.0)
        self._num_steps = self._num_steps + 1 if num_groups == 1 and is_below else 0
        if self._is_told or self._num_steps < TIGHT_STEPS:
            return ""

        self._is_told = True
        return (
            f"the sampler's budget of {self._budget.text} is below what a group costs: "
            f"{TIGHT_STEPS} steps in a row had the one group that each has in any case; give a "
            "larger budget"
        )

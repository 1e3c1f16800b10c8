"""How many groups of a task may fail before the run ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, final

from mtgrpo.core.types import TOLERANCE
from mtgrpo.errors import RewardError, StateError, counted
from mtgrpo.tasks.policy import Scoring

WINDOW = 100
"""Number of a task's last groups over which the share of dropped ones is measured."""


def most_dropped(rate: float, total: int) -> int:
    """How many of `total` may be dropped at a `Scoring.max_dropped_rate`."""
    return math.floor(rate * total + TOLERANCE)  # .29 * 100 is 28.999999999999996 and allows 29


@final
class DropLimit:
    """Ends a run in which too many groups of a task cannot be scored.

    It is the same on every process of a run.

    Args:
        policies: The scoring of each task; tasks whose first failure ends the run are not watched.
    """

    def __init__(self, policies: Mapping[str, Scoring]) -> None:
        self._rates: dict[str, float] = {}
        self._last: dict[str, list[int]] = {}  # of the last groups, whether they were dropped
        self.change_policies(policies)

    def __repr__(self) -> str:
        return f"DropLimit({self._rates})"

    def change_policies(self, policies: Mapping[str, Scoring]) -> None:
        """Watch these tasks from now on; what is known of those that stay is kept."""
        self._rates = {
            name: scoring.max_dropped_rate
            for name, scoring in policies.items()
            if scoring.on_error == "drop"
        }
        self._last = {name: self._last.get(name, []) for name in self._rates}

    def observe(self, outcomes: Iterable[tuple[str, bool]], reason: Callable[[str], str]) -> None:
        """Count groups.

        Args:
            outcomes: For each group its task, and whether it was dropped because it could not be
                scored; in the order of generation.
            reason: Says for a task what went wrong last.

        Raises:
            RewardError: too many groups of a task were dropped.
        """
        for name, dropped in outcomes:
            if name not in self._last:
                continue

            last = self._last[name]
            last.append(int(dropped))
            del last[:-WINDOW]

            allowed = most_dropped(self._rates[name], WINDOW)
            if sum(last) > allowed:
                raise RewardError(
                    f"task {name!r}: {sum(last)} of its last {counted(len(last), 'group')} could "
                    f"not be scored; max_dropped_rate {self._rates[name]:g} allows {allowed} of "
                    f"{WINDOW}; "
                    f"correct the reward and resume; last: {reason(name)}"
                )

    def state_dict(self) -> dict[str, Any]:
        """The outcomes of each task's last groups."""
        return {name: list(last) for name, last in self._last.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned. The policies may have changed since.

        Raises:
            StateError: this is no such state.
        """
        for name, last in state.items():
            if not isinstance(last, list):
                raise StateError(
                    f"dropped groups of task {name!r}: found {last!r}; a list is needed"
                )
            if name in self._last:
                self._last[name] = [int(value) for value in cast("list[int]", last)]

"""How a task's completions are scored, and what happens when that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast, final

from mtgrpo.errors import RewardError, StateError, TaskError, unknown

WINDOW = 100
"""Groups of a task that the share of dropped ones is measured over: the last ones."""
POLICIES = ("fail", "drop")


@final
@dataclass(frozen=True, slots=True)
class Scoring:
    """How a task's completions are scored, and what happens when that fails.

    A reward fails when it raises, returns anything but one finite number per completion, takes longer than
    `timeout_s`, or takes its process down. A failure never becomes a reward.

    Attributes:
        num_processes: Processes of the task's own that its reward runs in, one group a call; 0 runs it in the training
            process, one call a round. The reward must be importable there, see `mtgrpo.tasks.scoring.processes`.
        timeout_s: Seconds after which a call is stopped, whatever it is doing; None waits for ever. Only a process of
            its own can be stopped.
        on_error: ``"fail"`` ends the run; ``"drop"`` leaves the group out, in training and in evaluations, and counts
            it as ``dropped/unscorable``.
        max_dropped_rate: With ``"drop"``, the run ends when more than this share of a task's last `WINDOW` groups were
            dropped, or of its test prompts in one evaluation; in [0, 1).

    Raises:
        TaskError: a value is not allowed, or a timeout is asked for without processes.
    """

    num_processes: int = 0
    timeout_s: float | None = None
    on_error: str = "fail"
    max_dropped_rate: float = 0.1

    def __post_init__(self) -> None:
        count: Any = self.num_processes
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise TaskError(
                f"scoring.num_processes: {self.num_processes!r}; a whole number from 0 on is needed"
            )
        if self.timeout_s is not None:
            if not _is_number(self.timeout_s) or self.timeout_s <= 0:
                raise TaskError(
                    f"scoring.timeout_s: {self.timeout_s!r}; seconds, above 0, or nothing are needed"
                )
            if self.num_processes == 0:
                raise TaskError(
                    f"scoring.timeout_s: {self.timeout_s:g} without processes; a call in the training process cannot "
                    "be stopped; set scoring.num_processes to 1 or more"
                )
        if self.on_error not in POLICIES:
            raise TaskError(unknown("scoring.on_error", "policy", self.on_error, POLICIES))
        if not _is_number(self.max_dropped_rate) or not 0.0 <= self.max_dropped_rate < 1.0:
            raise TaskError(
                f"scoring.max_dropped_rate: {self.max_dropped_rate!r}; a share in [0, 1) is needed"
            )


def parse_scoring(values: Mapping[str, Any], where: str) -> Scoring:
    """A `Scoring` from a configuration's mapping.

    Raises:
        TaskError: an unknown key or a value that is not allowed.
    """
    known = [field.name for field in fields(Scoring)]
    for key in values:
        if key not in known:
            raise TaskError(unknown(f"{where}: scoring", "key", key, known))
    try:
        return Scoring(**values)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error


@final
class DropLimit:
    """Ends a run in which too many groups of a task cannot be scored. The same on every process of a run.

    Args:
        policies: The scoring of each task; those that fail at once are not watched.
    """

    def __init__(self, policies: Mapping[str, Scoring]) -> None:
        self._rates = {
            name: s.max_dropped_rate for name, s in policies.items() if s.on_error == "drop"
        }
        self._last: dict[str, list[int]] = {name: [] for name in self._rates}

    def observe(self, outcomes: Iterable[tuple[str, bool]], reason: Callable[[str], str]) -> None:
        """Count groups: task, and whether the group was dropped because it could not be scored.

        Args:
            outcomes: In the order of generation.
            reason: Says for a task what went wrong last.

        Raises:
            RewardError: Too many were dropped.
        """
        for name, dropped in outcomes:
            if name not in self._last:
                continue
            last = self._last[name]
            last.append(int(dropped))
            del last[:-WINDOW]
            if sum(last) > self._rates[name] * WINDOW:
                raise RewardError(
                    f"task {name!r}: {sum(last)} of its last {len(last)} groups could not be scored; "
                    f"max_dropped_rate {self._rates[name]:g} allows {math.floor(self._rates[name] * WINDOW)} of "
                    f"{WINDOW}; mend the reward and resume; last: {reason(name)}"
                )

    def state_dict(self) -> dict[str, Any]:
        """The last groups of each task."""
        return {name: list(last) for name, last in self._last.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; a policy may have been changed since.

        Raises:
            StateError: Not such a state.
        """
        for name, last in state.items():
            if not isinstance(last, list):
                raise StateError(
                    f"dropped groups of task {name!r}: found {last!r}; a list is needed"
                )
            if name in self._last:
                self._last[name] = [int(value) for value in cast("list[int]", last)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


IN_PROCESS = Scoring()
"""Scoring as it is by default: in the training process, and a failure ends the run."""

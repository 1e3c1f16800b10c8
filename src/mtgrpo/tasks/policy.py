"""How a task's completions are scored, and what happens when that fails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

from mtgrpo.errors import TaskError, unknown

POLICIES = ("fail", "drop")


@final
@dataclass(frozen=True, slots=True)
class Scoring:
    """How a task's completions are scored, and what happens when that fails.

    A reward fails when it raises, returns anything but one finite number per completion, takes
    longer than `timeout_s`, or takes its process down. A failure never becomes a reward.

    Attributes:
        num_processes: Number of the task's own processes. Its reward runs in them, one group a
            call; 0 runs it in the training process, one call a round. The reward must be
            importable there, see `mtgrpo.tasks.scoring.processes`.
        timeout_s: Seconds after which a call is stopped, whatever it is doing; None waits for
            ever. Only a process of its own can be stopped.
        on_error: ``"fail"`` ends the run; ``"drop"`` leaves the group out, in training and in
            evaluations, and counts it as ``dropped/unscorable``.
        max_dropped_rate: With ``"drop"``, the run ends when more than this share of a task's last
            100 groups, or of its test prompts in one evaluation, was dropped; in [0, 1).

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
                f"scoring.num_processes: {self.num_processes!r}; "
                "a whole number, 0 or more, is needed"
            )

        if self.timeout_s is not None:
            if not _is_number(self.timeout_s) or self.timeout_s <= 0:
                raise TaskError(
                    f"scoring.timeout_s: {self.timeout_s!r}; "
                    "seconds, above 0, or nothing are needed"
                )
            if self.num_processes == 0:
                raise TaskError(
                    f"scoring.timeout_s: {self.timeout_s:g} without processes; a call in the "
                    "training process cannot be stopped; set scoring.num_processes to 1 or more"
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
        TaskError: a key is unknown or a value is not allowed.
    """
    known = [field.name for field in fields(Scoring)]
    for key in values:
        if key not in known:
            raise TaskError(unknown(f"{where}: scoring", "key", key, known))

    try:
        return Scoring(**values)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


IN_PROCESS = Scoring()
"""The default: in the training process, where a failure ends the run."""

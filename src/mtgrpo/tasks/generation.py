"""How a task's completions are sampled, where it differs from the rest of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

from mtgrpo.errors import TaskError, unknown


@final
@dataclass(frozen=True, slots=True)
class Generation:
    """How a task's completions are sampled; None is the run's own setting.

    Attributes:
        temperature: Divides the logits; above 0.
        top_p: Part of the probability that is sampled from; above 0 and at most 1.
        max_completion_length: Tokens; at most the run's.

    Raises:
        TaskError: a value is not allowed.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_completion_length: int | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not _is_above_0(self.temperature):
            raise TaskError(
                f"generation.temperature: {self.temperature!r}; a finite number above 0 is needed"
            )
        if self.top_p is not None and not (_is_above_0(self.top_p) and self.top_p <= 1):
            raise TaskError(
                f"generation.top_p: {self.top_p!r}; a number above 0 and at most 1 is needed"
            )

        length: Any = self.max_completion_length
        if length is not None and (type(length) is not int or length < 1):
            raise TaskError(
                f"generation.max_completion_length: {length!r}; a whole number of tokens, 1 or "
                "more, is needed"
            )

    def __bool__(self) -> bool:
        """Whether anything differs from the run."""
        return self != AS_THE_RUN

    def in_words(self) -> str:
        """What is stated; empty if nothing is."""
        words: list[str] = []
        if self.temperature is not None:
            words.append(f"temperature {self.temperature:g}")
        if self.top_p is not None:
            words.append(f"top-p {self.top_p:g}")
        if self.max_completion_length is not None:
            words.append(f"at most {self.max_completion_length:,} tokens")
        return ", ".join(words)


def parse_generation(values: Mapping[str, Any], where: str) -> Generation:
    """A `Generation` from a configuration's mapping.

    Raises:
        TaskError: a key is unknown or a value is not allowed.
    """
    known = [field.name for field in fields(Generation)]
    for key in values:
        if key not in known:
            raise TaskError(unknown(f"{where}: generation", "key", key, known))

    try:
        return Generation(**values)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error


def _is_above_0(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


AS_THE_RUN = Generation()
"""The default: nothing of its own."""

"""CPU time of the parts of a step: the core never waits, and other processes do not count."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Stopwatch:
    """Collects CPU milliseconds under names, step by step."""

    def __init__(self) -> None:
        self.steps: list[Counter[str]] = []

    def begin_step(self) -> None:
        self.steps.append(Counter())

    def measure(self, name: str, call: Callable[..., Result], *args: object) -> Result:
        """What a call returns; its time is added to that of the name in this step."""
        started = time.process_time()
        result = call(*args)
        self.steps[-1][name] += 1000 * (time.process_time() - started)

        return result

    def medians(self, skip: int) -> dict[str, float]:
        """``<name>_ms`` -> median over the steps after the first `skip`."""
        used = self.steps[skip:]
        medians: dict[str, float] = {}
        for name in used[0]:
            medians[f"{name}_ms"] = round(statistics.median(step[name] for step in used), 3)

        return medians

"""Every task evaluated for itself, so that its length and its time are known too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtgrpo.integrations.trl.results import TaskResult
from mtgrpo.integrations.trl.trainer import MultiTaskGRPOTrainer


@dataclass(frozen=True)
class Measured:
    """What one task's prompts came to.

    Attributes:
        result: Accuracies by prompt.
        tokens: Mean length of a completion.
        seconds: Time of all completions.
    """

    result: TaskResult | None
    tokens: float
    seconds: float


def measure_tasks(
    trainer: MultiTaskGRPOTrainer, tell: Callable[[str], None]
) -> dict[str, Measured]:
    """Evaluate the test rows task by task.

    Args:
        trainer: Its tasks have the prompts as test rows.
        tell: Called with each task's name before it is measured.
    """
    whole: Any = trainer.eval_dataset

    measured: dict[str, Measured] = {}
    first = 0
    for task in trainer.tasks:
        places = range(first, first + len(task.test))
        first = places.stop
        tell(task.name)

        trainer.eval_dataset = whole.select(places)
        start = time.perf_counter()
        metrics = trainer.evaluate()
        seconds = time.perf_counter() - start

        tokens = metrics.get("eval_completions/mean_length", float("nan"))
        measured[task.name] = Measured(trainer.evaluation.results.get(task.name), tokens, seconds)

    trainer.eval_dataset = whole
    return measured

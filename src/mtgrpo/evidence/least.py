"""The least possible, as far as specialists tell: what each task takes when it is trained alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mtgrpo.evidence.reach import rollouts_to
from mtgrpo.evidence.results import StudyResults


def specialists(results: StudyResults) -> dict[str, str]:
    """The method that trains each task alone, by task; tasks that have none are left out.

    It is one with fixed weights of which a single one is above 0, in the rule of the method or in
    what all runs of the study share.
    """
    found: dict[str, str] = {}
    for method in results.finished_methods:
        weighting = {**_weighting(results.base), **_weighting(results.methods[method])}
        weights = weighting.get("weights")
        if weighting.get("rule") != "fixed" or not isinstance(weights, Mapping):
            continue

        trained = [str(task) for task, weight in weights.items() if weight]
        if len(trained) == 1:
            found.setdefault(trained[0], method)
    return found


def least_rollouts(results: StudyResults, accuracy: float) -> float | None:
    """N*: the rollouts in which specialists lift all tasks to an accuracy, one after the other.

    What training one task does for another is left out: where they help each other, less is
    possible. Infinite where a specialist does not get there; None unless every task has one.
    """
    by_task = specialists(results)
    tasks = results.runs[0].tasks
    if any(task not in by_task for task in tasks):
        return None

    return sum(rollouts_to(results.of(by_task[task]), accuracy, task) for task in tasks)


def efficiency(results: StudyResults, method: str, accuracy: float) -> float | None:
    """eta: N* over the rollouts in which a method's worst task reaches the accuracy.

    0 where it does not; None where N* is not known, is infinite, or nothing was needed.
    """
    least = least_rollouts(results, accuracy)
    if not least or math.isinf(least):
        return None

    used = rollouts_to(results.of(method), accuracy)
    return least / used if used else None


def _weighting(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    weighting = keys.get("weighting", {})
    return weighting if isinstance(weighting, Mapping) else {}

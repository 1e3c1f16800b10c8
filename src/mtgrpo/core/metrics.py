"""The figures the field compares runs by. Accuracies are in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtgrpo.core.types import at_least
from mtgrpo.errors import ConfigError


def worst_accuracy(accuracies: Mapping[str, float]) -> float:
    """``min_k Acc(k)``."""
    return min(accuracies.values())


def mean_accuracy(accuracies: Mapping[str, float]) -> float:
    """``1/K sum_k Acc(k)``: every task counts the same, however many prompts it has."""
    return sum(accuracies.values()) / len(accuracies)


def relative_change(accuracies: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """``100/K sum_k (Acc_m(k) - Acc_b(k)) / Acc_b(k)``, in percent of a baseline method b.

    Raises:
        ConfigError: The two have different tasks, or a baseline accuracy is 0.
    """
    if accuracies.keys() != baseline.keys():
        raise ConfigError(
            f"relative change: tasks {sorted(accuracies)} against baseline tasks "
            f"{sorted(baseline)}; both runs need the same tasks"
        )

    zero = sorted(k for k, v in baseline.items() if v == 0)
    if zero:
        raise ConfigError(
            f"relative change: the baseline's accuracy on {zero[0]!r} is 0; the ratio is undefined"
        )
    return 100.0 / len(baseline) * sum((accuracies[k] - b) / b for k, b in baseline.items())


def first_reached(
    costs: Sequence[float], values: Sequence[float], threshold: float
) -> float | None:
    """The cost of the first evaluation that reaches `threshold`; None if none does.

    Args:
        costs: What each evaluation had cost by then: steps, rollouts or seconds.
        values: What it found, in the same order.
        threshold: Reached from this value on, within `mtgrpo.core.types.TOLERANCE`.
    """
    for cost, value in zip(costs, values, strict=True):
        if at_least(value, threshold):
            return cost
    return None


def filtered_shares(
    weights: Mapping[str, float], acceptance_rates: Mapping[str, float]
) -> dict[str, float]:
    """The shares ``z_k a_k / sum_j z_j a_j`` that a task-blind filter leaves of the weights.

    All are 0 where nothing is accepted. Source: paper, section 3.
    """
    mass = {k: z * acceptance_rates[k] for k, z in weights.items()}
    total = sum(mass.values())
    return {k: m / total if total else 0.0 for k, m in mass.items()}

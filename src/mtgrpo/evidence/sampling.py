"""What the batches of a study cost, and whether they held the shares that were wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtgrpo.evidence.results import Floats, RunResult, StudyResults
from mtgrpo.evidence.table import MISSING, Table

HEADS = (
    "method",
    "groups generated",
    "rounds",
    "shortfall",
    "steps with exact quotas, %",
    "share error, points",
    "acceptance rate, %",
)
NOTE = (
    "Means per step. Share error: distance between the weights and the shares trained on, half the "
    "sum over tasks of the absolute differences of their means over stretches of steps. Acceptance "
    "rate: of each task over the run, then the mean over tasks."
)


def sampling_table(results: StudyResults) -> Table:
    """A row per method: groups and rounds a step, exact quotas, share error, acceptance rate."""
    rows: list[tuple[str, ...]] = []

    for method in results.finished_methods:
        runs = results.of(method)
        met = [run.shares_met_rate for run in runs if run.shares_met_rate is not None]

        rows.append(
            (
                method,
                _mean(runs, "sampler/groups_generated"),
                _mean(runs, "sampler/rounds"),
                _mean(runs, "sampler/shortfall"),
                f"{100 * np.mean(met):.0f}" if met else MISSING,
                f"{100 * np.mean([_share_error(run) for run in runs]):.1f}",
                f"{100 * np.mean([_acceptance(run) for run in runs]):.0f}",
            )
        )

    return Table("Sampling", HEADS, tuple(rows), NOTE)


def _mean(runs: Sequence[RunResult], name: str) -> str:
    """Mean of a metric over steps and runs, as a cell."""
    values = [value for value in (run.mean_of(name) for run in runs) if value == value]
    if not values:
        return MISSING

    return f"{np.mean(values):.1f}"


def _share_error(run: RunResult) -> float:
    """Half the distance between weights and realised shares, mean over the steps."""
    distances: list[Floats] = []
    for task in run.tasks:
        weight, realized = (run.series[f"task/{task}/{of}"] for of in ("weight", "realized_ratio"))
        distances.append(np.abs(weight - realized) / 2)

    distance = np.sum(distances, axis=0)  # (stretches,)
    num_steps = run.series.get("num_steps", np.ones(len(distance)))
    known = ~np.isnan(distance)

    return float(np.average(distance[known], weights=num_steps[known]))


def _acceptance(run: RunResult) -> float:
    """Mean over the tasks of their acceptance rates over the run; NaN without any."""
    rates: list[float] = []
    for task in run.tasks:
        rate = run.mean_of(f"task/{task}/acceptance_rate", of=f"task/{task}/num_generated")
        if rate == rate:
            rates.append(rate)

    if not rates:
        return float("nan")

    return float(np.mean(rates))

"""Simulations in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from mtgrpo.console.output import as_text, mean, number_table, percent, print_line, print_table

if TYPE_CHECKING:
    from mtgrpo.simulation import SimulationResult
    from mtgrpo.simulation.command import SimulationOutcome
    from mtgrpo.simulation.sweeps import Sweep


def simulation_table(outcome: SimulationOutcome) -> None:
    """Methods or swept values with the accuracies they end at, and what they cost."""
    for task, error in outcome.fit_errors.items():
        print_line(f"fitted {task}: root mean square error {error:.3f}")

    title = "simulated accuracy at the end, in %: mean over seeds"
    if outcome.sweep is None:
        print_table(_methods_table(title, outcome))
        print_line(
            "eta: the least possible rollouts to a worst task of "
            f"{percent(outcome.common_accuracy)} %, which all reached, over those used"
        )
    else:
        print_table(_sweep_table(title, outcome.sweep))


def _sweep_table(title: str, sweep: Sweep) -> Table:
    table = Table(title=as_text(title))
    for column in (sweep.parameter, "worst", "mean", "rollouts"):
        table.add_column(as_text(column), justify="right")

    for row in sweep.rows():
        table.add_row(
            f"{row[sweep.parameter]:g}",
            percent(row["worst_accuracy"]),
            percent(row["mean_accuracy"]),
            f"{row['rollouts']:,.0f}",
        )
    return table


def _methods_table(title: str, outcome: SimulationOutcome) -> Table:
    tasks = outcome.world.names
    rows = [["method", *tasks, "worst", "mean", "rollouts", "eta"]]
    for method, runs in outcome.runs.items():
        eta = outcome.efficiency[method]
        rows.append([method, *_simulated_cells(runs), "-" if math.isnan(eta) else f"{eta:.2f}"])

    # Methods or tasks, of whichever there are more, go down the page.
    if len(tasks) > len(outcome.runs):
        rows = [list(row) for row in zip(*rows, strict=True)]

    table = number_table(title, *rows[0])
    for row in rows[1:]:
        table.add_row(*map(as_text, row))
    return table


def _simulated_cells(runs: Sequence[SimulationResult]) -> list[str]:
    """Accuracy of each task, the worst and the mean, and rollouts, averaged over the runs."""
    num_tasks = len(runs[0].tasks)
    accuracies = [mean([run.accuracy[-1, k] for run in runs]) for k in range(num_tasks)]
    accuracies.append(mean([run.worst_accuracy[-1] for run in runs]))
    accuracies.append(mean([run.mean_accuracy[-1] for run in runs]))

    rollouts = mean([int(run.rollouts[-1]) for run in runs])
    return [*map(percent, accuracies), f"{rollouts:,.0f}"]

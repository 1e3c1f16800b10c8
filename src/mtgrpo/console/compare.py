"""Runs compared in the terminal: per task, with intervals, paired by seed and test prompt."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from mtgrpo.console.output import as_text, number_table, percent, print_line, print_table
from mtgrpo.errors import counted
from mtgrpo.evidence.paired import Interval, PairedComparison
from mtgrpo.evidence.results import RunResult


def comparison_table(
    pair: PairedComparison, runs: Sequence[RunResult], others: Sequence[RunResult], measure: str
) -> None:
    """A method against another one, a row per task, then the worst task and the mean.

    Args:
        pair: The comparison.
        runs: Runs of the method.
        others: Runs of the other one.
        measure: What is compared, ``"accuracy"`` or ``"score"``.
    """
    seeds = f"{counted(len(pair.seeds), 'seed')}: {', '.join(map(str, pair.seeds))}"
    title = f"test {measure} in %: {pair.method} against {pair.other}"
    table = number_table(title, "task", pair.other, pair.method, "difference", "95 % interval")
    table.columns[0].overflow = "fold"

    for task, difference in pair.tasks.items():
        table.add_row(
            as_text(task),
            percent(_at_end(others, task, pair)),
            percent(_at_end(runs, task, pair)),
            *_difference(difference),
        )

    table.add_section()
    for label, difference in (("worst task", pair.worst), ("mean", pair.mean)):
        table.add_row(label, "", "", *_difference(difference))

    print_table(table)
    unit = pair.at.removesuffix("s")  # of steps, rollouts or seconds
    print_line(f"at {unit} {pair.cost:,.0f}, the last that all runs have; {seeds}")
    print_line("linear between evaluations; paired by seed and test prompt")


def _at_end(runs: Sequence[RunResult], task: str, pair: PairedComparison) -> float:
    """Accuracy of a task at the cost of the comparison, mean over its seeds."""
    values: list[float] = []
    for run in runs:
        if run.seed in pair.seeds:
            values.append(run.accuracy_at(task, pair.at, pair.cost))
    return sum(values) / len(values)


def _difference(difference: Interval) -> tuple[Text, Text]:
    """In colour where 0 is outside of the interval: otherwise the sign is not known."""
    style = ""
    if difference.excludes_zero:
        style = "green" if difference.value > 0 else "red"

    value = f"{100 * difference.value:+.1f}"
    interval = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    return as_text(value, style=style), as_text(interval, style=style)

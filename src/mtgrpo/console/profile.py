"""A profile of tasks in the terminal."""

from __future__ import annotations

import math

from mtgrpo.console.output import as_text, number_table, print_line, print_table
from mtgrpo.evidence.profile import KEEP, MixtureProfile, Range, describe_levels


def profile_table(profile: MixtureProfile) -> None:
    """A row per task, what to do with those not to keep, and with the mixture.

    Columns: milliseconds a completion, seconds an informative group, and the even part.
    """
    table = number_table(
        f"{profile.model} before training (in brackets: 95 % interval)",
        "task",
        *("accuracy %", "acceptance %", "tokens", "ms", "s/informative", "even part"),
    )
    even_parts = profile.even_parts

    for task in profile.tasks:
        seconds = task.seconds_per_informative
        table.add_row(
            as_text(task.name),
            _with_range(task.accuracy, task.accuracy_range),
            _with_range(task.acceptance, task.acceptance_range),
            f"{task.tokens:.1f}",
            f"{1000 * task.seconds:.0f}",
            "-" if math.isinf(seconds) else f"{seconds:.2g}",
            f"{even_parts[task.name]:.2f}",
        )
    print_table(table)

    for task in profile.tasks:
        if task.advice != KEEP:
            print_line(f"{task.name}: {task.advice}")

    for name in profile.graded:
        print_line(f"{name}: graded by its rewards alone, so it has no profile; give it correct_at")

    for line in describe_levels(profile.tasks):
        print_line(f"worth training on, {line}")
    print_line(profile.verdict)


def _with_range(share: float, interval: Range) -> str:
    low, high = (f"{100 * bound:.0f}" for bound in interval)
    return f"{100 * share:.0f} ({low}-{high})"

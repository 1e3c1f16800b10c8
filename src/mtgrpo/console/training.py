"""A training run in the terminal: its plan, its progress, its evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtgrpo.console.output import (
    as_text,
    console,
    number_table,
    percent,
    print_line,
    print_table,
    progress_bar,
)
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.runlog.progress import Pace, in_words

from rich.progress import TextColumn  # isort: skip

if TYPE_CHECKING:
    from rich.table import Table

    from mtgrpo.config import ResolvedRun


class TrainingDisplay:
    """A progress bar, a line per step, a table per evaluation; plain lines without a terminal."""

    def __init__(self, run: ResolvedRun) -> None:
        self._progress = progress_bar(TextColumn("{task.fields[left]}"))
        self._bar = self._progress.add_task("training", total=run.steps, left="")
        self._pace = Pace(run.steps)

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        """One line of news."""
        print_line(text)

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """The line of a step: which task is worst, and how much weight it has."""
        self._pace.add(step, time.monotonic())
        remaining_s = self._pace.remaining_s
        left = "" if math.isnan(remaining_s) else f"{in_words(remaining_s)} left"
        self._progress.update(self._bar, completed=step, left=left)

        if not accuracies:  # not one group could be scored so far
            self.message(f"step {step:4d}  no group could be scored")
            return

        worst = min(accuracies, key=lambda name: accuracies[name])
        weight = metrics[f"task/{worst}/weight"]
        parts = [
            f"step {step:4d}",
            f"worst {worst} {percent(accuracies[worst])} % (weight {weight:.2f})",
            f"mean {percent(mean_accuracy(accuracies))} %",
            f"rounds {metrics['sampler/rounds']:.0f}",
            f"groups {metrics['sampler/groups_generated']:.0f}",
        ]

        if metrics["sampler/shortfall"]:
            parts.append(f"short by {metrics['sampler/shortfall']:.0f}")
        if left:
            parts.append(left)

        self.message("  ".join(parts))

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """The table of an evaluation."""
        evaluation_table({"title": title, "tasks": tasks})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The end of a run: before and after, and where everything is."""
        before = summary.get("accuracy_before") or {}
        after = summary.get("accuracy_after") or {}
        if before and after:
            print_table(_changes_table(before, after, summary.get("measure", "accuracy")))

        for line in summary.get("lines", ()):
            self.message(line)


def _changes_table(before: Mapping[str, float], after: Mapping[str, float], measure: str) -> Table:
    rows = [(name, before[name], after[name]) for name in after]
    rows.append(("worst task", worst_accuracy(before), worst_accuracy(after)))
    rows.append(("mean", mean_accuracy(before), mean_accuracy(after)))

    table = number_table(f"test {measure} in %", "task", "before", "after", "change")
    for name, old, new in rows:
        change = f"{100 * (new - old):+.1f}"
        table.add_row(as_text(name), percent(old), percent(new), change)
    return table


def evaluation_table(result: Mapping[str, Any]) -> None:
    """Accuracy per task with standard errors, the worst marked."""
    tasks: Mapping[str, Mapping[str, Any]] = result["tasks"]
    measure = "accuracy"
    if any(row.get("measure") == "score" for row in tasks.values()):
        measure = "score"  # of tasks with an accuracy the score is the accuracy

    title: str = result.get("title", "test accuracy in %").replace("accuracy", measure, 1)
    if not tasks:
        print_line(f"{title}: nothing was evaluated")
        return

    accuracies = {name: row["accuracy"] for name, row in tasks.items()}
    worst = min(accuracies, key=lambda name: accuracies[name])

    table = number_table(title, "task", measure, "std. error", "reward", "prompts")
    for name, row in tasks.items():
        mark = "  (worst)" if name == worst else ""
        table.add_row(
            as_text(name + mark),
            percent(row["accuracy"]),
            percent(row["std_error"]),
            f"{row['reward']:.3f}",
            f"{row['num_prompts']:.0f}",
        )

    table.add_row("mean", percent(mean_accuracy(accuracies)), "", "", "")
    print_table(table)


def plan_table(sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """The resolved plan of a run, section by section."""
    for title, rows in sections.items():
        console.print(as_text(title, style="bold"))
        width = max((len(key) for key, _ in rows), default=0)
        for key, value in rows:
            print_line(f"  {key:{width}}  {value}")

"""What the command line shows, with rich. Only `mtgrpo.cli` uses this.

Task names, prompts and completions are hostile text: they are printed as `Text`, never as markup,
with control characters written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.errors import counted, require
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.values import printable

if TYPE_CHECKING:
    from pathlib import Path

    from mtgrpo.config import ResolvedRun
    from mtgrpo.evidence.table import Table as StudyTable
    from mtgrpo.jobs.experiment import Experiment
    from mtgrpo.simulation import SimulationResult
    from mtgrpo.simulation.command import SimulationOutcome
    from mtgrpo.simulation.sweeps import Sweep
    from mtgrpo.tasks import Row, Task

require("rich", "cli")

from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

_console = Console(highlight=False)


class TrainingDisplay:
    """A progress bar, a line per step, a table per evaluation; plain lines without a terminal."""

    def __init__(self, run: ResolvedRun) -> None:
        self._progress = _progress()
        self._bar = self._progress.add_task("training", total=run.steps)

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        """One line of news."""
        _print_line(text)

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """The line of a step: which task is worst, and how much weight it has."""
        self._progress.update(self._bar, completed=step)
        if not accuracies:  # not one group could be scored so far
            self.message(f"step {step:4d}  no group could be scored")
            return

        worst = min(accuracies, key=lambda name: accuracies[name])
        weight = metrics[f"task/{worst}/weight"]
        parts = [
            f"step {step:4d}",
            f"worst {worst} {_percent(accuracies[worst])} % (weight {weight:.2f})",
            f"mean {_percent(mean_accuracy(accuracies))} %",
            f"rounds {metrics['sampler/rounds']:.0f}",
            f"groups {metrics['sampler/groups_generated']:.0f}",
        ]

        if metrics["sampler/shortfall"]:
            parts.append(f"short by {metrics['sampler/shortfall']:.0f}")

        self.message("  ".join(parts))

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """The table of an evaluation."""
        evaluation_table({"title": title, "tasks": tasks})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The end of a run: before and after, and where everything is."""
        before = summary.get("accuracy_before") or {}
        after = summary.get("accuracy_after") or {}
        if before and after:
            _console.print(_changes_table(before, after, summary.get("measure", "accuracy")))

        for line in summary.get("lines", ()):
            self.message(line)


def _changes_table(before: Mapping[str, float], after: Mapping[str, float], measure: str) -> Table:
    rows = [(name, before[name], after[name]) for name in after]
    rows.append(("worst task", worst_accuracy(before), worst_accuracy(after)))
    rows.append(("mean", mean_accuracy(before), mean_accuracy(after)))

    table = _table(f"test {measure} in %", "task", "before", "after", "change")
    for name, old, new in rows:
        change = f"{100 * (new - old):+.1f}"
        table.add_row(_text(name), _percent(old), _percent(new), change)
    return table


def evaluation_table(result: Mapping[str, Any]) -> None:
    """Accuracy per task with standard errors, the worst marked."""
    tasks: Mapping[str, Mapping[str, Any]] = result["tasks"]
    measure = "accuracy"
    if any(row.get("measure") == "score" for row in tasks.values()):
        measure = "score"  # of tasks with an accuracy the score is the accuracy

    title: str = result.get("title", "test accuracy in %").replace("accuracy", measure, 1)
    if not tasks:
        _print_line(f"{title}: nothing was evaluated")
        return

    accuracies = {name: row["accuracy"] for name, row in tasks.items()}
    worst = min(accuracies, key=lambda name: accuracies[name])

    table = _table(title, "task", measure, "std. error", "reward", "prompts")
    for name, row in tasks.items():
        mark = "  (worst)" if name == worst else ""
        table.add_row(
            _text(name + mark),
            _percent(row["accuracy"]),
            _percent(row["std_error"]),
            f"{row['reward']:.3f}",
            f"{row['num_prompts']:.0f}",
        )

    table.add_row("mean", _percent(mean_accuracy(accuracies)), "", "", "")
    _console.print(table)


def plan_table(sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """The resolved plan of a run, section by section."""
    for title, rows in sections.items():
        _console.print(_text(title, style="bold"))
        width = max((len(key) for key, _ in rows), default=0)
        for key, value in rows:
            _print_line(f"  {key:{width}}  {value}")


def kinds_table(kinds: Mapping[str, str]) -> None:
    """The kinds of task a configuration can name."""
    table = Table(title="kinds of task")
    table.add_column("key")
    table.add_column("what it makes")
    for key, summary in kinds.items():
        table.add_row(_text(key), _text(summary))
    _console.print(table)


def tasks_table(tasks: Iterable[Task]) -> None:
    """Tasks with the sizes of their splits."""
    table = Table()
    for column in ("task", "family", "level", "train", "test", "guess floor"):
        table.add_column(column)

    for task in tasks:
        table.add_row(
            _text(task.name),
            _text(task.family or ""),
            _text(task.level or ""),
            f"{len(task.train):,}",
            f"{len(task.test):,}",
            f"{task.floor:.3g}",
        )

    _console.print(table)


def show_tasks(tasks: Iterable[Task], num: int) -> None:
    """The first prompts of each task, with the oracle's answer and its score."""
    for task in tasks:
        for index in range(min(num, len(task.train))):
            row = task.train[index]
            _console.print(_text(f"--- {task.name}, train row {index}", style="bold"))
            _print_lines(str(row["prompt"]))
            _show_oracle(task, row, index)


def _show_oracle(task: Task, row: Row, index: int) -> None:
    answer = None if task.oracle is None else task.oracle(own_copy(row))
    if answer is None:
        return
    score = task.score([row], [answer], [index])[0]
    worth = "" if score.accuracy is None else f", accuracy {score.accuracy:g}"
    _print_lines(f"oracle: {answer}\nreward {score.reward:g}{worth}")


def problems_table(problems: Mapping[str, Sequence[str]]) -> None:
    """What `check_task` found, task by task."""
    for name, lines in problems.items():
        _print_line(f"{name}: {counted(len(lines), 'problem') if lines else 'ok'}")
        for line in lines:
            _print_line(f"  {line}")


def simulation_table(outcome: SimulationOutcome) -> None:
    """Methods or swept values with the accuracies they end at, and what they cost."""
    for task, error in outcome.fit_errors.items():
        _print_line(f"fitted {task}: root mean square error {error:.3f}")

    title = "simulated accuracy at the end, in %: mean over seeds"
    if outcome.sweep is None:
        _console.print(_methods_table(title, outcome))
    else:
        _console.print(_sweep_table(title, outcome.sweep))


def _sweep_table(title: str, sweep: Sweep) -> Table:
    table = Table(title=_text(title))
    for column in (sweep.parameter, "worst", "mean", "rollouts"):
        table.add_column(_text(column), justify="right")

    for row in sweep.rows():
        table.add_row(
            f"{row[sweep.parameter]:g}",
            _percent(row["worst_accuracy"]),
            _percent(row["mean_accuracy"]),
            f"{row['rollouts']:,.0f}",
        )
    return table


def _methods_table(title: str, outcome: SimulationOutcome) -> Table:
    tasks = outcome.world.names
    rows = [["method", *tasks, "worst", "mean", "rollouts"]]
    rows += [[method, *_simulated_cells(runs)] for method, runs in outcome.runs.items()]

    # Methods or tasks, of whichever there are more, go down the page.
    if len(tasks) > len(outcome.runs):
        rows = [list(row) for row in zip(*rows, strict=True)]

    table = _table(title, *rows[0])
    for row in rows[1:]:
        table.add_row(*map(_text, row))
    return table


def _simulated_cells(runs: Sequence[SimulationResult]) -> list[str]:
    """Accuracy of each task, the worst and the mean, and rollouts, averaged over the runs."""
    num_tasks = len(runs[0].tasks)
    accuracies = [_mean([run.accuracy[-1, k] for run in runs]) for k in range(num_tasks)]
    accuracies.append(_mean([run.worst_accuracy[-1] for run in runs]))
    accuracies.append(_mean([run.mean_accuracy[-1] for run in runs]))

    rollouts = _mean([int(run.rollouts[-1]) for run in runs])
    return [*map(_percent, accuracies), f"{rollouts:,.0f}"]


class StudyDisplay:
    """A bar over the runs of a study, and a line per run."""

    def __init__(self, experiment: Experiment, output: Path) -> None:
        self._output = output
        self._progress = _progress()
        num_runs = len(experiment.methods) * len(experiment.seeds)
        self._bar = self._progress.add_task("runs", total=num_runs)

    def __enter__(self) -> StudyDisplay:
        _print_line(f"runs: {self._output}")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: str, method: str, seed: int) -> None:
        """A run of the study waits, started, finished, failed, or had been finished before."""
        if event not in ("started", "waiting"):
            self._progress.advance(self._bar)
        if event != "kept":
            _print_line(f"{event:8} {method}, seed {seed}")


def study_table(final: StudyTable) -> None:
    """Methods with the accuracies their runs end at."""
    table = _table(f"{final.title}. {final.note}", *final.heads)
    for row in final.rows:
        table.add_row(*map(_text, row))
    _console.print(table)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_console,
        disable=not _console.is_terminal,
    )


def _table(title: str, first: str, *numbers: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=_text(title))
    table.add_column(_text(first))
    for column in numbers:
        table.add_column(_text(column), justify="right")
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)


def _print_line(text: str) -> None:
    _console.print(_text(text), soft_wrap=True)


def _print_lines(text: str) -> None:
    _console.print(Text(printable(text, lines=True)), soft_wrap=True)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

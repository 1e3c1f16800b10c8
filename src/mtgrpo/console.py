"""What the command line shows, with rich. Only `mtgrpo.cli` uses this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.errors import require

if TYPE_CHECKING:
    from pathlib import Path

    from mtgrpo.config import ResolvedRun
    from mtgrpo.evidence.table import Table as StudyTable
    from mtgrpo.jobs.study import Experiment
    from mtgrpo.simulation import SimulationResult
    from mtgrpo.simulation.command import SimulationOutcome
    from mtgrpo.tasks import Task

require("rich", "cli")

from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

# Task names, prompts and completions are hostile text: they are printed as `Text`, never as markup.
_console = Console(highlight=False)


class TrainingDisplay:
    """A progress bar, one line per step, one table per evaluation; plain lines where there is no terminal."""

    def __init__(self, config: ResolvedRun) -> None:
        self._config = config
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=_console, disable=not _console.is_terminal,
        )  # fmt: skip
        self._bar = self._progress.add_task("training", total=config.steps)

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        _console.print(Text(f"run directory: {self._config.output}"))
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        """One line of news."""
        _console.print(Text(text), soft_wrap=True)

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        """The line of a step: which task is worst, and how much weight it has."""
        self._progress.update(self._bar, completed=step)
        if not accuracies:  # not one group could be scored so far
            _console.print(Text(f"step {step:4d}  no group could be scored"))
            return
        worst = min(accuracies, key=lambda name: accuracies[name])
        weight = metrics[f"task/{worst}/weight"]
        _console.print(
            Text(
                f"step {step:4d}  worst {worst} {100 * accuracies[worst]:.1f} % (weight {weight:.2f})  "
                f"mean {100 * mean_accuracy(accuracies):.1f} %  rounds {metrics['sampler/rounds']:.0f}  "
                f"groups {metrics['sampler/groups_generated']:.0f}"
                + (
                    f"  short by {metrics['sampler/shortfall']:.0f}"
                    if metrics["sampler/shortfall"]
                    else ""
                )
            ),
            soft_wrap=True,
        )

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        """The table of an evaluation."""
        evaluation_table({"title": title, "tasks": tasks})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The end of a run: before and after, and where everything is."""
        before, after = summary.get("accuracy_before") or {}, summary.get("accuracy_after") or {}
        if before and after:
            table = Table(title="test accuracy in %")
            for column in ("task", "before", "after", "change"):
                table.add_column(column, justify="left" if column == "task" else "right")
            rows = [(name, before[name], after[name]) for name in after]
            rows += [
                ("worst task", worst_accuracy(before), worst_accuracy(after)),
                ("mean", mean_accuracy(before), mean_accuracy(after)),
            ]
            for name, old, new in rows:
                table.add_row(
                    Text(name), f"{100 * old:.1f}", f"{100 * new:.1f}", f"{100 * (new - old):+.1f}"
                )
            _console.print(table)
        for line in summary.get("lines", ()):
            _console.print(Text(line), soft_wrap=True)


def evaluation_table(result: Mapping[str, Any]) -> None:
    """Accuracy per task with standard errors, the worst marked."""
    tasks: Mapping[str, Mapping[str, float]] = result["tasks"]
    table = Table(title=result.get("title", "test accuracy in %"))
    table.add_column("task")
    for column in ("accuracy", "std. error", "reward", "prompts"):
        table.add_column(column, justify="right")
    if not tasks:
        _console.print(Text(f"{table.title}: nothing was evaluated"))
        return
    accuracies = {name: row["accuracy"] for name, row in tasks.items()}
    worst = min(accuracies, key=lambda name: accuracies[name])
    for name, row in tasks.items():
        table.add_row(
            Text(name + ("  (worst)" if name == worst else "")),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['std_error']:.1f}",
            f"{row['reward']:.3f}",
            f"{row['num_prompts']:.0f}",
        )
    table.add_row("mean", f"{100 * mean_accuracy(accuracies):.1f}", "", "", "")
    _console.print(table)


def plan_table(sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """The resolved plan of a run, section by section."""
    for title, rows in sections.items():
        _console.print(Text(title, style="bold"))
        width = max(len(key) for key, _ in rows)
        for key, value in rows:
            _console.print(Text(f"  {key:{width}}  {value}"), soft_wrap=True)


def kinds_table(kinds: Mapping[str, str]) -> None:
    """The kinds of task a configuration can name."""
    table = Table(title="kinds of task")
    table.add_column("key")
    table.add_column("what it makes")
    for key, text in kinds.items():
        table.add_row(Text(key), Text(text))
    _console.print(table)


def tasks_table(tasks: Iterable[Task]) -> None:
    """Tasks with the sizes of their splits."""
    table = Table()
    for column in ("task", "family", "level", "train", "test", "guess floor"):
        table.add_column(column)
    for task in tasks:
        table.add_row(
            Text(task.name),
            Text(task.family or ""),
            Text(task.level or ""),
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
            _console.print(Text(f"--- {task.name}, train row {index}", style="bold"))
            _console.print(Text(str(row["prompt"])), soft_wrap=True)
            if task.oracle is None:
                continue
            answer = task.oracle(row)
            if answer is not None:
                score = task.score([row], [answer], [index])[0]
                _console.print(
                    Text(f"oracle: {answer}\nreward {score.reward:g}, accuracy {score.accuracy:g}")
                )


def problems_table(problems: Mapping[str, Sequence[str]]) -> None:
    """What `check_task` found, task by task."""
    for name, found in problems.items():
        _console.print(Text(f"{name}: {'ok' if not found else f'{len(found)} problems'}"))
        for problem in found:
            _console.print(Text(f"  {problem}"))


def simulation_table(outcome: SimulationOutcome) -> None:
    """Methods or swept values with the accuracies they end at, and what they cost."""
    for task, error in outcome.fit_errors.items():
        _console.print(Text(f"fitted {task}: root mean square error {error:.3f}"))
    table = Table(title="simulated accuracy at the end, in %: mean over seeds")
    if outcome.sweep is not None:
        for column in (outcome.sweep.parameter, "worst", "mean", "rollouts"):
            table.add_column(column, justify="right")
        for row in outcome.sweep.rows():
            table.add_row(
                f"{row[outcome.sweep.parameter]:g}",
                f"{100 * row['worst_accuracy']:.1f}",
                f"{100 * row['mean_accuracy']:.1f}",
                f"{row['rollouts']:,.0f}",
            )
    else:
        # Whichever there are more of, methods or tasks, goes down the page.
        tasks = outcome.world.names
        columns = [[method, *_simulated_cells(runs)] for method, runs in outcome.runs.items()]
        rows = [["method", *tasks, "worst", "mean", "rollouts"], *columns]
        if len(tasks) > len(columns):
            rows = [list(row) for row in zip(*rows, strict=True)]
        for i, head in enumerate(rows[0]):
            table.add_column(Text(head), justify="right" if i else "left")
        for row in rows[1:]:
            table.add_row(*map(Text, row))
    _console.print(table)


def _simulated_cells(runs: Sequence[SimulationResult]) -> list[str]:
    per_task = [
        sum(run.accuracy[-1, k] for run in runs) / len(runs) for k in range(len(runs[0].tasks))
    ]
    worst, mean = (
        sum(getattr(run, of)[-1] for run in runs) / len(runs)
        for of in ("worst_accuracy", "mean_accuracy")
    )
    cost = sum(int(run.rollouts[-1]) for run in runs) / len(runs)
    return [*(f"{100 * value:.1f}" for value in (*per_task, worst, mean)), f"{cost:,.0f}"]


class StudyDisplay:
    """A bar over the runs of a study, and a line per run."""

    def __init__(self, experiment: Experiment, output: Path) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=_console, disable=not _console.is_terminal,
        )  # fmt: skip
        self._bar = self._progress.add_task(
            "runs", total=len(experiment.methods) * len(experiment.seeds)
        )
        self._output = output

    def __enter__(self) -> StudyDisplay:
        _console.print(Text(f"runs: {self._output}"))
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: str, method: str, seed: int) -> None:
        """A run of the study waits, started, finished, failed, or had been finished before."""
        if event not in ("started", "waiting"):
            self._progress.advance(self._bar)
        if event != "kept":
            _console.print(Text(f"{event:8} {method}, seed {seed}"))


def study_table(final: StudyTable) -> None:
    """Methods with the accuracies their runs end at."""
    table = Table(title=f"{final.title}. {final.note}")
    for i, head in enumerate(final.heads):
        table.add_column(head, justify="right" if i else "left")
    for row in final.rows:
        table.add_row(*map(Text, row))
    _console.print(table)

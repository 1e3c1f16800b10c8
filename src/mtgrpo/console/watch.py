"""A run that another process carries out, shown while it goes on. It reads the run's log alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtgrpo.console.output import as_text, console, number_table, percent, print_line
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.errors import RunError
from mtgrpo.runlog import Evaluation, Metrics, Run, read_run
from mtgrpo.runlog.lock import locked_by_live_process
from mtgrpo.runlog.progress import in_words, progress_of
from mtgrpo.runlog.reading import is_run

FIGURES = {
    "loss": "loss",
    "reward": "reward",
    "kl": "kl",
    "entropy": "entropy",
    "length": "completions/mean_length",
    "step time": "step_time",
}
"""Figures of the last step, by the names they are shown under."""
BAR = 60
"""Columns of the bar."""
READING_SHARE = 0.1
"""Largest part of the time that is spent on reading a long log again."""


def watch(path: Path, every_s: float) -> Run:
    """Show a run until it ends.

    Args:
        path: Its directory, which may not exist yet.
        every_s: Seconds between looks at its files.

    Returns:
        The run as it ended.

    Raises:
        RunError: The directory is damaged, or holds something else.
    """
    if not console.is_terminal:
        print_line(f"watching {path}" if _has_begun(path) else f"waiting for {path}")
        run = _follow(path, every_s, _Lines())
        print_line(f"{path}: {run.status}")
        return run

    with Live(as_text(f"waiting for {path}"), console=console, auto_refresh=False) as live:
        return _follow(path, every_s, lambda run: live.update(run_view(run), refresh=True))


def _follow(path: Path, every_s: float, show: Callable[[Run], None]) -> Run:
    """Show a run whenever its files have changed, until it ends."""
    seen: object = None

    while True:
        start = time.monotonic()

        if _has_begun(path):
            now = _state_of_files(path)
            if now != seen:
                seen = now
                run = read_run(path)
                show(run)
                if run.status != "running":
                    return run
        elif path.exists() and not path.is_dir():
            raise RunError(f"{path}: not a directory; give that of a run")

        spent = time.monotonic() - start
        time.sleep(max(every_s, spent / READING_SHARE))


class _Lines:
    """Prints what is new in a run, a line for each step and evaluation."""

    def __init__(self) -> None:
        self._num_steps = self._num_evaluations = 0

    def __call__(self, run: Run) -> None:
        metrics, evaluations = run.metrics, run.evaluations
        if len(metrics) < self._num_steps or len(evaluations) < self._num_evaluations:
            self._num_steps = self._num_evaluations = 0  # it went back to a checkpoint

        news = [(line.step, 0, _step_line(run, line)) for line in metrics[self._num_steps :]]
        for evaluation in evaluations[self._num_evaluations :]:
            news.append((evaluation.step, 1, _evaluation_line(evaluation)))

        for _, _, text in sorted(news):
            print_line(text)
        self._num_steps, self._num_evaluations = len(metrics), len(evaluations)


def _has_begun(path: Path) -> bool:
    return path.is_dir() and is_run(path)


def _state_of_files(path: Path) -> object:
    """Changes whenever there is something new to read, the death of the process included."""
    sizes: list[tuple[str, int, int]] = []
    for file in sorted(path.glob("*.json*")):
        status = file.stat()
        sizes.append((file.name, status.st_size, status.st_mtime_ns))
    return sizes, locked_by_live_process(path / ".lock")


def run_view(run: Run) -> Group:
    """Everything about a run that fits on a screen."""
    progress = progress_of(run)
    total = "?" if progress.total is None else f"{progress.total:,}"

    head = [str(run.path), run.status, f"step {progress.step:,} of {total}"]
    if run.metrics:
        head.append(f"{run.metrics[-1].rollouts:,} rollouts")
        head.append(in_words(run.metrics[-1].elapsed_s))
    if run.status == "running":
        head.append(f"left: {in_words(progress.remaining_s)}")

    parts: list[Text | Table] = [as_text(" · ".join(head), style="bold")]
    if progress.total:
        done = round(BAR * min(1.0, progress.step / progress.total))
        parts.append(Text.assemble(("━" * done, "green"), ("━" * (BAR - done), "dim")))
    parts.append(_tasks(run))
    if run.metrics:
        parts.append(as_text(_figures(run.metrics[-1])))
    if reason := run.summary.get("error"):
        parts.append(as_text(str(reason), style="red"))
    return Group(*parts)


def _tasks(run: Run) -> Table:
    measure = run.evaluations[-1].measure if run.evaluations else "accuracy"
    heads = ("weight", "share %", "kept %", "reward", f"{measure} %", "test %", "±")
    table = number_table("", "task", *heads)
    table.title, table.box = None, SIMPLE
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.no_wrap = True

    values = run.metrics[-1].values if run.metrics else {}
    tests = run.evaluations[-1].tasks if run.evaluations else {}

    for task in run.tasks:
        prefix = f"task/{task}/"
        score = _latest(run, (f"{prefix}accuracy", f"{prefix}score"))
        test = tests.get(task)
        table.add_row(
            as_text(task),
            _number(values.get(f"{prefix}weight"), 3),
            _percent(values.get(f"{prefix}realized_ratio")),
            _percent(values.get(f"{prefix}acceptance_rate")),
            _number(_latest(run, (f"{prefix}reward",)), 3),
            _percent(score),
            "" if test is None else _percent(test.accuracy),
            "" if test is None else _percent(test.std_error),
        )

    if run.evaluations:
        table.caption = as_text(_evaluation_line(run.evaluations[-1]))
    return table


def _latest(run: Run, names: tuple[str, ...]) -> float | None:
    """The last logged value under one of the names; a task may be absent from a step."""
    for line in reversed(run.metrics[-20:]):
        for name in names:
            if name in line.values:
                return line.values[name]
    return None


def _evaluation_line(evaluation: Evaluation) -> str:
    scores = evaluation.accuracies
    if not scores:
        return f"evaluation at step {evaluation.step}: no task"

    worst = min(scores, key=lambda name: scores[name])
    return (
        f"test {evaluation.measure} at step {evaluation.step}: worst {worst} "
        f"{percent(worst_accuracy(scores))} %, mean {percent(mean_accuracy(scores))} %"
    )


def _step_line(run: Run, line: Metrics) -> str:
    progress = progress_of(run)
    parts = [f"step {line.step}" + ("" if progress.total is None else f"/{progress.total}")]

    for kind in ("accuracy", "score"):
        if f"tasks/worst_{kind}" in line.values:
            parts.append(f"worst {percent(line.values[f'tasks/worst_{kind}'])} %")
            parts.append(f"mean {percent(line.values[f'tasks/mean_{kind}'])} %")

    parts.append(_figures(line))
    is_last = line is run.metrics[-1]
    if is_last and not math.isnan(progress.remaining_s):
        parts.append(f"{in_words(progress.remaining_s)} left")
    return "  ".join(parts)


def _figures(line: Metrics) -> str:
    shown: list[str] = []
    for label, name in FIGURES.items():
        value = line.values.get(name, math.nan)
        if not math.isnan(value):
            unit = " s" if name == "step_time" else ""
            shown.append(f"{label} {value:.3g}{unit}")
    return "  ".join(shown)


def _percent(share: float | None) -> str:
    return "" if share is None or math.isnan(share) else percent(share)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"

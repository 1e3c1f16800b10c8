"""Tasks in the terminal: kinds, sizes, prompts, problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from mtgrpo.console.output import as_text, console, print_line, print_lines, print_table
from mtgrpo.errors import counted
from mtgrpo.tasks.own_copy import own_copy
from mtgrpo.tasks.probes import as_completion
from mtgrpo.values import shorten

if TYPE_CHECKING:
    from mtgrpo.tasks import Row, Task


def kinds_table(kinds: Mapping[str, str]) -> None:
    """The kinds of task a configuration can name."""
    table = Table(title="kinds of task")
    table.add_column("key")
    table.add_column("what it makes")
    for key, summary in kinds.items():
        table.add_row(as_text(key), as_text(summary))
    print_table(table)


def tasks_table(tasks: Iterable[Task]) -> None:
    """Tasks with the sizes of their splits, and their own settings where there are some."""
    tasks = list(tasks)
    has_settings = any(task.generation for task in tasks)

    table = Table()
    for column in ("task", "family", "level", "train", "test", "guess floor"):
        table.add_column(column)
    if has_settings:
        table.add_column("generation")

    for task in tasks:
        settings = [as_text(task.generation.in_words())] if has_settings else []
        table.add_row(
            as_text(task.name),
            as_text(task.family or ""),
            as_text(task.level or ""),
            f"{len(task.train):,}",
            f"{len(task.test):,}",
            f"{task.floor:.3g}",
            *settings,
        )

    print_table(table)


def show_tasks(tasks: Iterable[Task], num: int) -> None:
    """The first prompts of each task and what its rewards see beside them.

    That is the row's other columns, and the oracle's answer with its score where there is one.
    """
    for task in tasks:
        if task.generation:
            print_line(f"{task.name}: {task.generation.in_words()}")
        for index in range(min(num, len(task.train))):
            row = task.train[index]
            console.print(as_text(f"--- {task.name}, train row {index}", style="bold"))
            _show_row(row)
            _show_oracle(task, row, index)


def _show_row(row: Row) -> None:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        print_lines(prompt)
    else:
        for message in prompt:
            print_lines(f"{message.get('role')}: {message.get('content')}")

    for column, value in row.items():
        if column != "prompt":
            print_line(f"{column}: {shorten(value)}")


def _show_oracle(task: Task, row: Row, index: int) -> None:
    answer = None if task.oracle is None else task.oracle(own_copy(row))
    if answer is None:
        return
    score = task.score([row], [as_completion(row, answer)], [index])[0]
    worth = "" if score.accuracy is None else f", accuracy {score.accuracy:g}"
    print_lines(f"oracle: {answer}\nreward {score.reward:g}{worth}")


def problems_table(
    problems: Mapping[str, Sequence[str]], remarks: Mapping[str, Sequence[str]] | None = None
) -> None:
    """What `examine_task` found, task by task: what is wrong, then what may be."""
    for name, lines in problems.items():
        print_line(f"{name}: {counted(len(lines), 'problem') if lines else 'ok'}")
        for line in lines:
            print_line(f"  {line}")
        for line in (remarks or {}).get(name, ()):
            print_line(f"  note: {line}")

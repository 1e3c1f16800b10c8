"""Reading a run directory: its files, line by line, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtgrpo.core.reward_scale import RewardScale
from mtgrpo.core.task_news import TaskNews
from mtgrpo.errors import RunError, require
from mtgrpo.runlog.files import os_errors_as, read_json, read_lines
from mtgrpo.runlog.lock import locked_by_live_process
from mtgrpo.runlog.records import Change, Completion, Evaluation, Metrics, Run, TaskEvaluation

FILES = ("run.json", "config.yaml", "metrics.jsonl", "evaluations.jsonl")
HEAD = ("step", "rollouts", "elapsed_s")
"""What every line of metrics and evaluations begins with."""


def is_run(path: Path) -> bool:
    """Whether a directory holds a run.

    Raises:
        RunError: The directory may not be read.
    """
    with os_errors_as(path, "read"):
        return any((path / name).is_file() for name in FILES)


@dataclass(frozen=True, slots=True)
class Mark:
    """What ``run.json`` says of a run.

    Attributes:
        tasks: Task names; empty without the file.
        run_id: Identity of the run, the same in every copy of it; empty where none was written.
    """

    tasks: tuple[str, ...] = ()
    run_id: str = ""


def read_mark(path: Path) -> Mark:
    """The mark of a run directory.

    Raises:
        RunError: ``run.json`` is damaged, or written by a newer version.
    """
    file = path / "run.json"
    mark = read_json(file)
    if mark is None:
        return Mark()

    names = mark.get("tasks") if isinstance(mark, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{file}: no list of task names; it is damaged or of another program")

    if mark.get("version") != 1:
        raise RunError(
            f"{file}: run format version {mark.get('version')!r}; this mtgrpo reads version 1"
        )

    return Mark(tuple(names), str(mark.get("run_id", "")))


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run directory, also of a run that goes on, was killed, or never took a step.

    Raises:
        RunError: Not a run directory, or damaged beyond a torn last line; names file and line.
        MissingExtra: PyYAML is not installed.
    """
    directory = Path(path)
    if not is_run(directory):
        what = "not a run directory" if directory.is_dir() else "no such directory"
        raise RunError(f"{directory}: {what}; a directory that `mtgrpo train` wrote is needed")

    evaluations = on_one_scale(_records(directory / "evaluations.jsonl", _evaluation))
    evaluated = dict.fromkeys(name for evaluation in evaluations for name in evaluation.tasks)

    return Run(
        path=directory,
        tasks=tuple(dict.fromkeys([*read_mark(directory).tasks, *evaluated])),  # some joined later
        config=_config(directory / "config.yaml"),
        environment=_mapping(directory / "environment.json"),
        metrics=_records(directory / "metrics.jsonl", _metrics),
        evaluations=evaluations,
        completions=_records(directory / "completions.jsonl", _completion),
        summary=_mapping(directory / "summary.json"),
        in_use=locked_by_live_process(directory / ".lock"),
        changes=_records(directory / "changes.jsonl", _change),
    )


def on_one_scale(evaluations: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
    """The evaluations with the scores of graded tasks on one scale for all of them.

    A learnt range grows while a run goes on, so scores as they were when they were logged cannot
    be compared. The range here is that of all rewards in all evaluations.
    """
    scale = RewardScale()
    for evaluation in evaluations:
        for name, task in evaluation.tasks.items():
            scale.observe(name, task.prompt_rewards)

    return tuple(
        replace(
            evaluation,
            tasks={name: _on_scale(scale, name, task) for name, task in evaluation.tasks.items()},
        )
        for evaluation in evaluations
    )


def _on_scale(scale: RewardScale, name: str, task: TaskEvaluation) -> TaskEvaluation:
    if not task.prompt_rewards:
        return task

    levels = [
        reward if math.isnan(reward) else scale.level(name, reward)
        for reward in task.prompt_rewards
    ]
    known = [level for level in levels if not math.isnan(level)]
    mean = math.fsum(known) / len(known) if known else math.nan

    std_error = 0.0
    if len(known) > 1:
        spread = math.fsum((level - mean) ** 2 for level in known)
        std_error = math.sqrt(spread / (len(known) - 1) / len(known))
    return replace(task, accuracy=mean, std_error=std_error, prompt_accuracies=tuple(levels))


def _records(path: Path, make: Any) -> tuple[Any, ...]:
    records: list[Any] = []

    for i, (_, line) in enumerate(read_lines(path)):
        try:
            records.append(make(line))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RunError(
                f"{path}: object {i + 1} cannot be used: {reason}; delete or correct that line"
            ) from None

    return tuple(records)


def _metrics(line: Mapping[str, Any]) -> Metrics:
    values: dict[str, float] = {}
    for name, value in line.items():
        if name not in HEAD and isinstance(value, (int, float, type(None))):
            values[name] = _number(value)

    return Metrics(int(line["step"]), int(line["rollouts"]), _number(line.get("elapsed_s")), values)


def _change(line: Mapping[str, Any]) -> Change:
    before = line.get("num_before")
    news = TaskNews(
        task=str(line["task"]),
        change=str(line["change"]),
        num_rows=int(line["num_rows"]),
        num_before=None if before is None else int(before),
    )
    return Change(int(line["step"]), news)


def _evaluation(line: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        step=int(line["step"]),
        rollouts=int(line["rollouts"]),
        elapsed_s=_number(line.get("elapsed_s")),
        num_samples=int(line.get("num_samples") or 1),
        tasks={name: _task_evaluation(task) for name, task in line["tasks"].items()},
    )


def _task_evaluation(task: Mapping[str, Any]) -> TaskEvaluation:
    return TaskEvaluation(
        accuracy=_number(task["accuracy"]),
        reward=_number(task.get("reward")),
        num_prompts=int(task.get("num_prompts") or 0),
        std_error=_number(task.get("std_error")),
        prompt_accuracies=tuple(_number(v) for v in task.get("prompt_accuracies") or ()),
        measure=str(task.get("measure") or "accuracy"),
        prompt_rewards=tuple(_number(v) for v in task.get("prompt_rewards") or ()),
    )


def _completion(line: Mapping[str, Any]) -> Completion:
    return Completion(
        step=int(line["step"]),
        task=str(line["task"]),
        prompt=as_text(line.get("prompt")),
        completion=as_text(line.get("completion")),
        reward=_number(line.get("reward")),
        accuracy=_number(line.get("accuracy")),
        kept=bool(line.get("kept", True)),
    )


def _number(value: Any) -> float:
    """A number of the log; null is NaN, and so is what only other programs write (Infinity)."""
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} where a number is needed")
    if not math.isfinite(value):
        return math.nan

    return float(value)


def as_text(value: Any) -> str:
    """Text, or chat messages joined to text."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return str(value)

    lines: list[str] = []
    for message in value:
        if isinstance(message, Mapping):
            lines.append(f"{message.get('role', '')}: {message.get('content', '')}")
        else:
            lines.append(str(message))

    return "\n".join(lines)


def _mapping(path: Path) -> Mapping[str, Any]:
    value = read_json(path)
    if value is not None and not isinstance(value, dict):
        raise RunError(f"{path}: not a JSON object; the file is damaged; delete it")
    return value or {}


def _config(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}

    yaml = require("yaml", "cli")

    try:
        with os_errors_as(path, "read"):
            value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None

    if value is not None and not isinstance(value, dict):
        raise RunError(f"{path}: not a mapping; the file is damaged")

    return value or {}

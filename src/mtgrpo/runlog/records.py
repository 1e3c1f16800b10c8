"""Run: what a run directory holds, read and checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo.errors import RunError, require
from mtgrpo.runlog.files import os_errors_as, read_json, read_lines
from mtgrpo.runlog.lock import locked_by_live_process

FILES = ("run.json", "config.yaml", "metrics.jsonl", "evaluations.jsonl")


@dataclass(frozen=True, slots=True)
class TaskEvaluation:
    """A task's test result; NaN where it was not written. Accuracy and its standard error are in [0, 1].

    `prompt_accuracies` has the mean accuracy of each test prompt, in order; empty where it was not written.
    """

    accuracy: float
    reward: float
    num_prompts: int
    std_error: float
    prompt_accuracies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation: steps done, training completions generated, seconds, completions per prompt, and the tasks."""

    step: int
    rollouts: int
    elapsed_s: float
    num_samples: int
    tasks: Mapping[str, TaskEvaluation]

    @property
    def accuracies(self) -> dict[str, float]:
        """Accuracy by task name."""
        return {name: task.accuracy for name, task in self.tasks.items()}


@dataclass(frozen=True, slots=True)
class Metrics:
    """One step's metrics; a value written as null is NaN."""

    step: int
    rollouts: int
    elapsed_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Completion:
    """A sample; `kept` says whether its group was trained on. Chat messages are joined to text."""

    step: int
    task: str
    prompt: str
    completion: str
    reward: float
    accuracy: float
    kept: bool


@dataclass(frozen=True)
class Run:
    """A run directory, read once.

    Attributes:
        path: The directory.
        tasks: Task names, in the order of the run.
        config: The resolved configuration; empty when there is none.
        environment: Versions, machine, seed; empty when there is none.
        metrics: Steps, in order.
        evaluations: Evaluations, in order.
        completions: Samples, in order.
        summary: How it ended; empty while it runs, or after a kill.
        in_use: Whether a live process writes it.
    """

    path: Path
    tasks: tuple[str, ...]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: tuple[Metrics, ...]
    evaluations: tuple[Evaluation, ...]
    completions: tuple[Completion, ...]
    summary: Mapping[str, Any]
    in_use: bool

    @property
    def status(self) -> str:
        """``finished``, ``interrupted``, ``failed``; without a summary ``running`` or ``killed``."""
        return str(self.summary.get("status") or ("running" if self.in_use else "killed"))

    @property
    def last_step(self) -> int:
        """The last step logged; 0 before the first."""
        return max((line.step for line in (*self.metrics, *self.evaluations)), default=0)

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoint directories by step, oldest first."""
        prefix = "checkpoint-"
        with os_errors_as(self.path, "read"):
            found = [
                (p.name.removeprefix(prefix), p)
                for p in (self.path / "checkpoints").glob(prefix + "*")
            ]
        return dict(
            sorted((int(step), p) for step, p in found if step.isdecimal() and step.isascii())
        )


def is_run(path: Path) -> bool:
    """Whether a directory holds a run.

    Raises:
        RunError: It may not be looked into.
    """
    with os_errors_as(path, "read"):
        return any((path / name).is_file() for name in FILES)


def read_mark(path: Path) -> tuple[str, ...]:
    """Task names of a run.

    Raises:
        RunError: Damaged, or written by a newer version.
    """
    mark = read_json(path / "run.json")
    if mark is None:
        return ()
    names = mark.get("tasks") if isinstance(mark, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(
            f"{path / 'run.json'}: no list of task names; the file is damaged or of another program"
        )
    if mark.get("version") != 1:
        raise RunError(
            f"{path / 'run.json'}: run format version {mark.get('version')!r}; this mtgrpo reads version 1"
        )
    return tuple(names)


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run directory, also of a run that goes on, was killed, or never took a step.

    Raises:
        RunError: Not a run directory, or damaged beyond a torn last line; the message names file and line.
        MissingExtra: PyYAML is not installed.
    """
    directory = Path(path)
    if not is_run(directory):
        what = "not a run directory" if directory.is_dir() else "no such directory"
        raise RunError(f"{directory}: {what}; a directory that `mtgrpo train` wrote is needed")
    evaluations = _records(directory / "evaluations.jsonl", _evaluation)
    return Run(
        path=directory,
        tasks=read_mark(directory)
        or tuple(dict.fromkeys(name for e in evaluations for name in e.tasks)),
        config=_config(directory / "config.yaml"),
        environment=_mapping(directory / "environment.json"),
        metrics=_records(directory / "metrics.jsonl", _metrics),
        evaluations=evaluations,
        completions=_records(directory / "completions.jsonl", _completion),
        summary=_mapping(directory / "summary.json"),
        in_use=locked_by_live_process(directory / ".lock"),
    )


def _records(path: Path, make: Any) -> tuple[Any, ...]:
    records: list[Any] = []
    for i, (_, line) in enumerate(read_lines(path)):
        try:
            records.append(make(line))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RunError(
                f"{path}: object {i + 1} cannot be used: {reason}; delete or mend that line"
            ) from None
    return tuple(records)


def _metrics(line: Mapping[str, Any]) -> Metrics:
    head = ("step", "rollouts", "elapsed_s")
    values = {
        k: _number(v)
        for k, v in line.items()
        if k not in head and isinstance(v, (int, float, type(None)))
    }
    return Metrics(int(line["step"]), int(line["rollouts"]), _number(line.get("elapsed_s")), values)


def _evaluation(line: Mapping[str, Any]) -> Evaluation:
    tasks = {
        name: TaskEvaluation(
            _number(task["accuracy"]),
            _number(task.get("reward")),
            int(task.get("num_prompts") or 0),
            _number(task.get("std_error")),
            tuple(_number(value) for value in task.get("prompt_accuracies") or ()),
        )
        for name, task in line["tasks"].items()
    }
    num_samples = int(line.get("num_samples") or 1)
    return Evaluation(
        int(line["step"]), int(line["rollouts"]), _number(line.get("elapsed_s")), num_samples, tasks
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
    return float(value) if math.isfinite(value) else math.nan


def as_text(value: Any) -> str:
    """Text, or chat messages joined to text."""
    if isinstance(value, list):
        return "\n".join(
            f"{m.get('role', '')}: {m.get('content', '')}" if isinstance(m, Mapping) else str(m)
            for m in value
        )
    return "" if value is None else str(value)


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

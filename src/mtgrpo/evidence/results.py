"""The results of a study, apart from its run directories: small enough to keep beside the code."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtgrpo.errors import RunError

Floats = NDArray[np.float64]
_FIELDS = frozenset(
    {"experiment", "baseline", "thresholds", "base", "methods", "num_samples", "runs", "written"}
)


@dataclass(frozen=True)
class RunResult:
    """One run of a study.

    Attributes:
        method: Name of the method.
        seed: Seed of the run.
        tasks: Task names, the columns below.
        steps: Training steps done at each evaluation, shape (T,).
        rollouts: Completions generated for training by then, shape (T,).
        seconds: Seconds of training by then, shape (T,).
        accuracy: Test accuracy in [0, 1], shape (T, K).
        prompts: Per task, the accuracy of each test prompt at each evaluation, shape (T, prompts);
            empty where the run did not write it.
        series: Metric name -> its means over stretches of steps; ``"step"`` has the last step of
            each stretch, ``"num_steps"`` how many it has (results of earlier versions lack it).
        shares_met_rate: Fraction of steps whose batches held exactly the quotas; None without any.
        num_samples: Completions per test prompt.
        evaluation_changes: Where and how the evaluation settings changed on the way; evaluations
            before the last change are left out above.
    """

    method: str
    seed: int
    tasks: tuple[str, ...]
    steps: Floats
    rollouts: Floats
    seconds: Floats
    accuracy: Floats
    prompts: Mapping[str, Floats]
    series: Mapping[str, Floats]
    shares_met_rate: float | None
    num_samples: int
    evaluation_changes: tuple[str, ...] = ()

    def is_evaluated_as(self, other: RunResult) -> bool:
        """Whether both have the same number of samples and, as far as known, of prompts."""
        for task in self.prompts.keys() & other.prompts.keys():
            if self.prompts[task].shape[1] != other.prompts[task].shape[1]:
                return False

        return self.num_samples == other.num_samples

    @property
    def worst(self) -> Floats:
        """Worst-task accuracy at each evaluation, shape (T,)."""
        return self.accuracy.min(axis=1)

    @property
    def mean(self) -> Floats:
        """Mean accuracy over tasks at each evaluation, shape (T,)."""
        return self.accuracy.mean(axis=1)

    def accuracy_at(self, task: str, at: str, cost: float) -> float:
        """Accuracy of a task when `cost` steps or rollouts are spent, linear in between."""
        column = self.accuracy[:, self.tasks.index(task)]
        return float(np.interp(cost, getattr(self, at), column))

    def mean_of(self, name: str, of: str = "") -> float:
        """Mean of a metric over the steps of the run; NaN where it was not logged.

        Args:
            name: Name of the metric.
            of: Name of the count that the metric is a rate of: the rate over the run is then the
                ratio of sums.
        """
        if name not in self.series:
            return float("nan")

        values = self.series[name]
        weights = self.series.get("num_steps", np.ones(len(values)))
        if of in self.series:
            weights = weights * self.series[of]

        counted = np.where(np.isnan(values), 0.0, np.nan_to_num(weights))
        if not counted.sum():
            return float("nan")

        return float((np.nan_to_num(values) * counted).sum() / counted.sum())

    @property
    def forgotten(self) -> Floats:
        """Per task, its best accuracy of all evaluations minus the last one, shape (K,)."""
        return self.accuracy.max(axis=0) - self.accuracy[-1]


@dataclass(frozen=True)
class StudyResults:
    """All finished runs of a study.

    Attributes:
        name: Name of the experiment.
        baseline: Method that relative changes refer to.
        thresholds: Worst-task accuracies whose cost is reported.
        base: Keys of the run configuration that all runs share.
        methods: Name -> keys of the run configuration that make the method.
        runs: Runs in the order of methods, then seeds.
        extra: What else was measured and kept with the results.
    """

    name: str
    baseline: str
    thresholds: tuple[float, ...]
    base: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    runs: tuple[RunResult, ...]
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def of(self, method: str) -> list[RunResult]:
        """The runs of one method, by seed."""
        runs = [run for run in self.runs if run.method == method]
        return sorted(runs, key=lambda run: run.seed)

    @property
    def finished_methods(self) -> list[str]:
        """Methods with at least one run, in the experiment's order."""
        return [method for method in self.methods if self.of(method)]

    @property
    def evaluation_warning(self) -> str:
        """Which runs were not evaluated as the others; empty when all were evaluated alike."""
        parts: list[str] = []
        for run in self.runs:
            reasons = list(run.evaluation_changes)
            if not run.is_evaluated_as(self.runs[0]):
                reasons.append(f"not as {self.runs[0].method}, seed {self.runs[0].seed}")
            if reasons:
                parts.append(f"{run.method}, seed {run.seed} ({'; '.join(reasons)})")

        if not parts:
            return ""

        return f"Not evaluated alike, so not comparable: {', '.join(parts)}."


def load_results(source: str | os.PathLike[str] | Mapping[str, Any]) -> StudyResults:
    """Results from the JSON that `mtgrpo study --results` writes, or from its parsed value.

    Raises:
        RunError: The file is missing, damaged or something else.
    """
    if isinstance(source, Mapping):
        return _parse(source, "results")

    path = Path(source)

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else None
        reason = " ".join((text or str(error)).split())
        raise RunError(f"{path}: cannot be read as results of a study ({reason})") from None

    if not isinstance(value, Mapping):
        raise RunError(
            f"{path}: not the results of a study; `mtgrpo study NAME --results FILE` writes them"
        )

    return _parse(value, str(path))


def _unpack(packed: str, num_rows: int) -> Floats:
    """Samples right of each prompt at each evaluation, shape (num_rows, prompts)."""
    digits = zlib.decompress(base64.b85decode(packed))
    counts = np.frombuffer(digits, dtype=np.uint8).astype(np.float64) - ord("0")
    if counts.size == 0 or counts.min() < 0 or counts.max() > 9:
        raise ValueError("prompts are no digits")

    return counts.reshape(-1, num_rows).T


def _parse(value: Mapping[str, Any], where: str) -> StudyResults:
    runs = value.get("runs")
    listed = runs if isinstance(runs, list) else []
    if any(isinstance(run, Mapping) and "evaluations" in run for run in listed):
        raise RunError(
            f"{where}: results in an older format (runs with 'evaluations'; now one column per "
            "measure); collect them again from the run directories: "
            "`mtgrpo study NAME --no-train --output DIR --results FILE`"
        )

    try:
        num_samples = int(value["num_samples"])
        return StudyResults(
            name=str(value["experiment"]),
            baseline=str(value["baseline"]),
            thresholds=tuple(float(t) for t in value["thresholds"]),
            base=value["base"],
            methods=value["methods"],
            runs=tuple(_run(run, num_samples) for run in value["runs"]),
            extra={key: item for key, item in value.items() if key not in _FIELDS},
        )
    except (KeyError, IndexError, TypeError, ValueError, zlib.error) as error:
        raise RunError(f"{where}: not the results of a study, or damaged ({error!r})") from None


def _run(value: Mapping[str, Any], num_samples: int) -> RunResult:
    tasks = tuple(value["accuracy"])
    if not tasks or not value["steps"]:
        raise ValueError("a run without evaluations")

    num_rows = len(value["steps"])
    num_samples = int(value.get("num_samples") or num_samples)
    columns = np.array([value["accuracy"][task] for task in tasks], dtype=np.float64)

    prompts: dict[str, Floats] = {}
    for task, packed in value["prompts"].items():
        prompts[task] = _unpack(packed, num_rows) / num_samples

    series: dict[str, Floats] = {}
    for name, points in value["series"].items():
        series[name] = np.array(points, dtype=np.float64)  # None becomes NaN

    return RunResult(
        method=str(value["method"]),
        seed=int(value["seed"]),
        tasks=tasks,
        steps=np.array(value["steps"], dtype=np.float64),
        rollouts=np.array(value["rollouts"], dtype=np.float64),
        seconds=np.array(value["seconds"], dtype=np.float64),
        accuracy=columns.reshape(-1, num_rows).T,
        prompts=prompts,
        series=series,
        shares_met_rate=value.get("shares_met_rate"),
        num_samples=num_samples,
        evaluation_changes=tuple(value.get("evaluation_changes", ())),
    )

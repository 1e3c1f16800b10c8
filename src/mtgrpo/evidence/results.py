"""The results of a study, apart from its run directories: small enough to keep beside the code."""

from __future__ import annotations

import base64
import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtgrpo.errors import RunError
from mtgrpo.runlog import Evaluation, Metrics, Run

Floats = NDArray[np.float64]
NUM_POINTS = 15
"""Points that a run's metrics are thinned to."""
_KEPT = ("/weight", "/target_ratio", "/realized_ratio", "/acceptance_rate")
_KEPT_WHOLE = ("sampler/rounds", "sampler/groups_generated", "sampler/shortfall")


@dataclass(frozen=True)
class RunResult:
    """One run of a study.

    Attributes:
        method: Its method.
        seed: Its seed.
        tasks: Task names, the columns below.
        steps: Training steps done at each evaluation, shape (T,).
        rollouts: Completions generated for training by then, shape (T,).
        seconds: Seconds of training by then, shape (T,).
        accuracy: Test accuracy in [0, 1], shape (T, K).
        prompts: Per task, the accuracy of each test prompt at each evaluation, shape (T, prompts); empty where the run
            did not write it.
        series: Metric name -> its means over stretches of steps; ``"step"`` has the last step of each stretch.
        shares_met_rate: Fraction of steps whose batches held exactly the quotas; None without quotas.
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

    @property
    def worst(self) -> Floats:
        """Worst-task accuracy at each evaluation, shape (T,)."""
        return self.accuracy.min(axis=1)

    @property
    def mean(self) -> Floats:
        """Mean accuracy over tasks at each evaluation, shape (T,)."""
        return self.accuracy.mean(axis=1)

    @property
    def forgotten(self) -> Floats:
        """Per task, its best accuracy of all evaluations minus the last one, shape (K,)."""
        return self.accuracy.max(axis=0) - self.accuracy[-1]


@dataclass(frozen=True)
class StudyResults:
    """All finished runs of a study.

    Attributes:
        name: Of the experiment.
        baseline: Method that relative changes refer to.
        thresholds: Worst-task accuracies whose cost is reported.
        base: Keys of the run configuration that all runs share.
        methods: Name -> keys of the run configuration that make the method.
        runs: In the order of methods, then seeds.
        extra: Whatever else was measured and kept with the results.
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
        return sorted((run for run in self.runs if run.method == method), key=lambda run: run.seed)

    @property
    def finished_methods(self) -> list[str]:
        """Methods with at least one run, in the experiment's order."""
        return [method for method in self.methods if self.of(method)]


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
        raise RunError(
            f"{path}: cannot be read as results of a study ({' '.join(str(error).split())})"
        ) from None
    if not isinstance(value, Mapping):
        raise RunError(
            f"{path}: not the results of a study; `mtgrpo study NAME --results FILE` writes them"
        )
    return _parse(value, str(path))


def digest_run(run: Run, updates_per_step: int = 1) -> dict[str, Any]:
    """A run as plain values: every evaluation prompt by prompt, and its metrics thinned.

    Args:
        run: A finished run.
        updates_per_step: Policy updates per step; logs count updates, results count steps.
    """
    stride = max(1, math.ceil(len(run.metrics) / NUM_POINTS))
    chunks = [run.metrics[i : i + stride] for i in range(0, len(run.metrics), stride)]
    names = sorted({name for line in run.metrics for name in line.values if _is_kept(name)})
    series: dict[str, list[float | None]] = {
        "step": [chunk[-1].step / updates_per_step for chunk in chunks]
    }
    for name in names:
        series[name] = [_mean(chunk, name) for chunk in chunks]
    rows = run.evaluations
    tasks = list(rows[0].tasks) if rows else []
    return {
        "shares_met_rate": run.summary.get("shares_met_rate"),
        "steps": [row.step / updates_per_step for row in rows],
        "rollouts": [row.rollouts for row in rows],
        "seconds": [round(row.elapsed_s, 1) for row in rows],
        "accuracy": {name: [round(row.tasks[name].accuracy, 5) for row in rows] for name in tasks},
        "prompts": {name: packed for name in tasks if (packed := _pack(rows, name))},
        "series": series,
    }


def _pack(rows: Sequence[Evaluation], task: str) -> str:
    """How many samples of each test prompt were right, a digit each, prompt by prompt; compressed.

    Empty where an evaluation lacks them or they are no whole numbers up to 9.
    """
    columns: list[list[int]] = []
    for row in rows:
        counts = [value * row.num_samples for value in row.tasks[task].prompt_accuracies]
        whole = [round(count) for count in counts]
        if not counts or not all(
            abs(c - n) < 1e-6 and 0 <= n <= 9 for c, n in zip(counts, whole, strict=True)
        ):
            return ""
        columns.append(whole)
    if len({len(column) for column in columns}) != 1:
        return ""
    digits = "".join(str(n) for counts in zip(*columns, strict=True) for n in counts)
    return base64.b85encode(zlib.compress(digits.encode(), 9)).decode()


def _unpack(packed: str, num_rows: int) -> Floats:
    digits = zlib.decompress(base64.b85decode(packed))
    counts = np.frombuffer(digits, dtype=np.uint8).astype(np.float64) - ord("0")
    if counts.size == 0 or counts.min() < 0 or counts.max() > 9:
        raise ValueError("prompts are no digits")
    return counts.reshape(-1, num_rows).T


def _is_kept(name: str) -> bool:
    return name in _KEPT_WHOLE or name.endswith(_KEPT)


def _mean(chunk: Sequence[Metrics], name: str) -> float | None:
    known = [
        line.values[name]
        for line in chunk
        if name in line.values and not math.isnan(line.values[name])
    ]
    return round(sum(known) / len(known), 3) if known else None


def _parse(value: Mapping[str, Any], where: str) -> StudyResults:
    known = (
        "experiment",
        "baseline",
        "thresholds",
        "base",
        "methods",
        "num_samples",
        "runs",
        "written",
    )
    runs = value.get("runs")
    if isinstance(runs, list) and any(
        isinstance(run, Mapping) and "evaluations" in run for run in runs
    ):
        raise RunError(
            f"{where}: results in an older format (runs with 'evaluations'; now one column per measure); collect them "
            "again from the run directories: `mtgrpo study NAME --no-train --output DIR --results FILE`"
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
            extra={key: item for key, item in value.items() if key not in known},
        )
    except (KeyError, IndexError, TypeError, ValueError, zlib.error) as error:
        raise RunError(f"{where}: not the results of a study, or damaged ({error!r})") from None


def _run(value: Mapping[str, Any], num_samples: int) -> RunResult:
    tasks = tuple(value["accuracy"])
    if not tasks or not value["steps"]:
        raise ValueError("a run without evaluations")

    def column(name: str) -> Floats:
        return np.array(value[name], dtype=np.float64)

    steps = column("steps")
    return RunResult(
        method=str(value["method"]),
        seed=int(value["seed"]),
        tasks=tasks,
        steps=steps,
        rollouts=column("rollouts"),
        seconds=column("seconds"),
        accuracy=np.array([value["accuracy"][task] for task in tasks], dtype=np.float64)
        .reshape(-1, len(steps))
        .T,
        prompts={
            task: _unpack(packed, len(steps)) / num_samples
            for task, packed in value["prompts"].items()
        },
        series={
            name: np.array([np.nan if x is None else x for x in points], dtype=np.float64)
            for name, points in value["series"].items()
        },
        shares_met_rate=value.get("shares_met_rate"),
    )

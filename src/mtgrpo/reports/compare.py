"""Many runs side by side: methods, each over its seeds. Plain arrays; nothing is interpolated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgrpo.core.metrics import relative_change
from mtgrpo.errors import ConfigError, RunError
from mtgrpo.reports.curves import Cost, Floats, accuracy_curves, accuracy_of, cost_to_reach
from mtgrpo.runlog import Run

# Keys of a configuration that do not make another method.
INCIDENTAL = frozenset({"seed", "output", "threads", "num_parameters", "checkpoint"})


@dataclass(frozen=True)
class Spread:
    """One method over its seeds, at the evaluation steps that all of its runs have.

    Attributes:
        label: The method.
        num_runs: Runs (seeds) behind each point.
        steps: Shape (T,).
        rollouts: Mean over runs, shape (T,).
        seconds: Mean over runs, shape (T,).
        mean: Mean over runs of the worst-task or mean accuracy, shape (T,).
        low: Minimum over runs, shape (T,).
        high: Maximum over runs, shape (T,).
    """

    label: str
    num_runs: int
    steps: Floats
    rollouts: Floats
    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Range:
    """Mean, minimum and maximum over runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodRow:
    """One method's line of a comparison.

    Attributes:
        label: The method.
        num_runs: Its runs.
        num_evaluated: Those with an evaluation; the figures below are over them.
        worst: Worst-task accuracy at the last evaluation.
        mean: Mean accuracy at the last evaluation.
        rollouts: Training completions of the whole run.
        change: Average per-task relative change against the baseline's mean over seeds, percent; None without.
        reached: Per threshold of worst-task accuracy, what each run that reached it needed.
    """

    label: str
    num_runs: int
    num_evaluated: int
    worst: Range
    mean: Range
    rollouts: Range
    change: Range | None
    reached: Mapping[float, Sequence[Cost]]


def final_accuracies(run: Run) -> dict[str, float]:
    """Accuracy of the run's tasks at the last evaluation.

    Raises:
        RunError: No evaluation, or one that misses a task.
    """
    curves = accuracy_curves(run)
    if not len(curves.steps):
        raise RunError(f"{run.path}: no evaluation in the log; evaluate before comparing")
    final = dict(zip(run.tasks, curves.accuracy[-1].tolist(), strict=True))
    missing = next((task for task, value in final.items() if np.isnan(value)), None)
    if missing is not None:
        raise RunError(
            f"{run.path}: the last evaluation misses task {missing!r}; nothing to compare"
        )
    return final


def change_against(run: Run, baseline: Run) -> float:
    """``100/K sum_k (Acc(k) - Acc_b(k)) / Acc_b(k)`` at the last evaluations, in percent (paper, section 5).

    Raises:
        RunError: One of the two has no complete evaluation.
        ConfigError: Different tasks, or a baseline accuracy of 0.
    """
    return relative_change(final_accuracies(run), final_accuracies(baseline))


def spread_over_seeds(label: str, runs: Sequence[Run], *, of: str = "worst") -> Spread:
    """The ``"worst"`` or ``"mean"`` accuracy of one method's runs; runs without evaluations are left out."""
    curves = [c for c in map(accuracy_curves, runs) if len(c.steps)]
    tables = [{step: i for i, step in enumerate(c.steps.tolist())} for c in curves]
    common = sorted(set.intersection(*map(set, tables))) if tables else []
    shape = (len(curves), len(common))

    def gather(values: Sequence[Floats]) -> Floats:
        cells = [[v[table[s]] for s in common] for v, table in zip(values, tables, strict=True)]
        return np.array(cells, dtype=float).reshape(shape)

    if not common:
        empty = np.zeros(0)
        return Spread(label, len(curves), empty, empty, empty, empty, empty, empty)
    values = gather([accuracy_of(c, of) for c in curves])
    return Spread(
        label=label,
        num_runs=len(curves),
        steps=np.array(common),
        rollouts=gather([c.rollouts for c in curves]).mean(axis=0),
        seconds=gather([c.seconds for c in curves]).mean(axis=0),
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
    )


def method_labels(runs: Sequence[Run]) -> list[str]:
    """A label per run: its preset, and where runs of a preset differ in more than the seed, what differs.

    Runs without a preset in their configuration are named after their directory.
    """
    settings = [_flat(run.config) for run in runs]
    presets = [str(run.config.get("preset") or run.path.resolve().name) for run in runs]
    labels: list[str] = []
    for preset, setting in zip(presets, settings, strict=True):
        peers = [s for p, s in zip(presets, settings, strict=True) if p == preset]
        keys = sorted({key for peer in peers for key in peer if peer.get(key) != setting.get(key)})
        labels.append(" ".join([preset, *(f"{key}={setting.get(key, 'none')}" for key in keys)]))
    return labels


def group_by_label(
    runs: Sequence[Run], labels: Sequence[str] | None = None
) -> dict[str, list[Run]]:
    """Runs by method, in order of appearance.

    Args:
        runs: All runs.
        labels: One per run; None takes `method_labels`.

    Raises:
        ConfigError: Not as many labels as runs.
    """
    names = method_labels(runs) if labels is None else list(labels)
    if len(names) != len(runs):
        raise ConfigError(
            f"comparison: {len(names)} labels for {len(runs)} runs; one label per run is needed"
        )
    groups: dict[str, list[Run]] = {}
    for name, run in zip(names, runs, strict=True):
        groups.setdefault(name, []).append(run)
    return groups


def default_baseline(labels: Sequence[str]) -> str | None:
    """The method others are measured against when none is named: DAPO as in the paper, else GRPO, else none."""
    return next((name for name in ("dapo", "grpo") if name in labels), None)


def default_thresholds(groups: Mapping[str, Sequence[Run]], most: int = 3) -> list[float]:
    """Tenths of worst-task accuracy that not every run starts with and some run ends with, the highest `most`."""
    curves = [accuracy_curves(run).worst for runs in groups.values() for run in runs]
    known = [worst[~np.isnan(worst)] for worst in curves]
    known = [worst for worst in known if worst.size]
    if not known:
        return []
    start, best = min(worst[0] for worst in known), max(worst.max() for worst in known)
    return [tenth / 10 for tenth in range(1, 11) if start < tenth / 10 <= best][-most:]


def method_table(
    groups: Mapping[str, Sequence[Run]],
    *,
    baseline: str | None = None,
    thresholds: Sequence[float] = (),
) -> list[MethodRow]:
    """A row per method. The relative change is left out where it is undefined (other tasks, accuracy 0)."""
    reference = _mean_accuracies(groups[baseline]) if baseline is not None else None
    rows: list[MethodRow] = []
    for label, runs in groups.items():
        evaluated = [run for run in runs if run.evaluations]
        last = [accuracy_curves(run) for run in evaluated]
        rows.append(
            MethodRow(
                label=label,
                num_runs=len(runs),
                num_evaluated=len(evaluated),
                worst=_range([float(c.worst[-1]) for c in last]),
                mean=_range([float(c.mean[-1]) for c in last]),
                rollouts=_range(
                    [
                        float(max(line.rollouts for line in (*r.metrics, *r.evaluations)))
                        for r in evaluated
                    ]
                ),
                change=_changes(evaluated, reference) if reference else None,
                reached={
                    t: [c for c in (cost_to_reach(r, t) for r in evaluated) if c]
                    for t in thresholds
                },
            )
        )
    return rows


def _changes(runs: Sequence[Run], reference: Mapping[str, float]) -> Range | None:
    try:
        return _range([relative_change(final_accuracies(run), reference) for run in runs])
    except (ConfigError, RunError):
        return None


def _mean_accuracies(runs: Sequence[Run]) -> dict[str, float] | None:
    """Final accuracy per task, averaged over runs; None when there is none to average."""
    try:
        finals = [final_accuracies(run) for run in runs if run.evaluations]
    except RunError:
        return None
    if not finals or any(final.keys() != finals[0].keys() for final in finals):
        return None
    return {task: float(np.mean([final[task] for final in finals])) for task in finals[0]}


def _range(values: Sequence[float]) -> Range:
    known = [v for v in values if not np.isnan(v)]
    if not known:
        return Range(float("nan"), float("nan"), float("nan"))
    return Range(float(np.mean(known)), min(known), max(known))


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A configuration as dotted keys, without what does not make another method."""
    if not isinstance(value, Mapping):
        return {prefix: value if isinstance(value, str) else json.dumps(value, default=str)}
    flat: dict[str, str] = {}
    for key, item in value.items():
        if prefix or key not in INCIDENTAL:
            flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat

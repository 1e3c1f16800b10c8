"""From a run directory to the plain values that the results of a study keep of it."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Any

from mtgrpo.runlog import Evaluation, Run
from mtgrpo.runlog.evaluation_settings import settings_changes
from mtgrpo.runlog.steps import StepLine, counts_of, step_lines, values_of

NUM_POINTS = 15
"""Points that a run's metrics are thinned to."""
ACCEPTANCE_RATE = "/acceptance_rate"
NUM_GENERATED = "/num_generated"
_KEPT_OF_TASKS = ("/weight", "/target_ratio", "/realized_ratio", ACCEPTANCE_RATE, NUM_GENERATED)
_KEPT_COUNTS = ("sampler/rounds", "sampler/groups_generated", "sampler/shortfall")


def digest_run(run: Run, updates_per_step: int = 1) -> dict[str, Any]:
    """A run as plain values: its evaluations prompt by prompt, and its metrics thinned.

    Where the evaluation settings changed on the way, only those of the last settings are kept: the
    others are not comparable with them.

    Args:
        run: A finished run.
        updates_per_step: Policy updates per step; logs count updates, results count steps.
    """
    changes = settings_changes(run.evaluations, run.tasks)
    first = changes[-1].row if changes else 0
    rows = run.evaluations[first:]
    tasks = list(rows[0].tasks) if rows else []

    accuracy: dict[str, list[float]] = {}
    prompts: dict[str, str] = {}
    for task in tasks:
        accuracy[task] = [round(row.tasks[task].accuracy, 5) for row in rows]
        if packed := _pack(rows, task):
            prompts[task] = packed

    return {
        "shares_met_rate": run.summary.get("shares_met_rate"),
        "num_samples": rows[0].num_samples if rows else None,
        "evaluation_changes": [f"{c.what}, before step {c.step}" for c in changes],
        "steps": [row.step / updates_per_step for row in rows],
        "rollouts": [row.rollouts for row in rows],
        "seconds": [round(row.elapsed_s, 1) for row in rows],
        "accuracy": accuracy,
        "prompts": prompts,
        "series": _series(run, updates_per_step),
    }


def _series(run: Run, updates_per_step: int) -> dict[str, list[float | None]]:
    """Metrics worth keeping, over stretches of steps: means, and rates as ratios of sums."""
    lines = step_lines(run, updates_per_step)
    stride = max(1, math.ceil(len(lines) / NUM_POINTS))
    stretches = [lines[i : i + stride] for i in range(0, len(lines), stride)]

    names: set[str] = set()
    for line in lines:
        names.update(name for name in line.metrics.values if _is_kept(name))

    series: dict[str, list[float | None]] = {
        "step": [stretch[-1].metrics.step / updates_per_step for stretch in stretches],
        "num_steps": [sum(line.num_steps for line in stretch) for stretch in stretches],
    }
    for name in sorted(names):
        series[name] = [_mean(stretch, name) for stretch in stretches]

    return series


def _is_kept(name: str) -> bool:
    return name in _KEPT_COUNTS or name.endswith(_KEPT_OF_TASKS)


def _mean(stretch: Sequence[StepLine], name: str) -> float | None:
    """Mean of a metric over the steps of a stretch; None where no line has it.

    A count that a line lacks is 0; an acceptance rate counts by the groups it is a rate of.
    """
    is_count = name in _KEPT_COUNTS or name.endswith(NUM_GENERATED)
    values = counts_of(stretch, name) if is_count else values_of(stretch, name)
    weights = [float(line.num_steps) for line in stretch]

    if name.endswith(ACCEPTANCE_RATE):
        generated = counts_of(stretch, name.removesuffix(ACCEPTANCE_RATE) + NUM_GENERATED)
        if not all(map(math.isnan, generated)):
            weights = [w * g for w, g in zip(weights, generated, strict=True)]

    total = weight_sum = 0.0
    for value, weight in zip(values, weights, strict=True):
        if not math.isnan(value) and weight > 0:
            total += value * weight
            weight_sum += weight

    if not weight_sum:
        return None

    return round(total / weight_sum, 3)


def _pack(rows: Sequence[Evaluation], task: str) -> str:
    """How many samples of each test prompt were right, a digit each, prompt by prompt; compressed.

    Empty where an evaluation lacks them or they are no whole numbers up to 9.
    """
    columns: list[list[int]] = []
    for row in rows:
        counts = [value * row.num_samples for value in row.tasks[task].prompt_accuracies]
        if not counts or not all(map(_is_digit, counts)):
            return ""

        columns.append([round(count) for count in counts])

    if len({len(column) for column in columns}) != 1:
        return ""

    digits = ""
    for of_prompt in zip(*columns, strict=True):
        digits += "".join(map(str, of_prompt))

    return base64.b85encode(zlib.compress(digits.encode(), 9)).decode()


def _is_digit(count: float) -> bool:
    if math.isnan(count):  # a prompt that could not be scored
        return False

    return abs(count - round(count)) < 1e-6 and 0 <= round(count) <= 9

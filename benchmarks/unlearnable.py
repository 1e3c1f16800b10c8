"""One task that cannot be learned beside three that can, in simulation.

    python benchmarks/unlearnable.py             # some minutes; writes unlearnable.json beside this
    python benchmarks/unlearnable.py balanced    # these methods anew, the others as recorded

Without it, a method trains the three tasks of the paper-shaped world for 720 steps (32 groups of 8)
and spends so many rollouts. With it, the same method may spend 1.25 times that, in however many
steps: are the three as good, within two points? Two kinds of task that cannot be learned:
*hopeless*, no completion is ever right; *stuck*, one completion in twenty is right whatever is
trained. Differences are paired by seed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.simulation import SimulatedTask, SimulationResult, World, simulate

RECORD = Path(__file__).with_suffix(".json")
SEEDS, STEPS, MORE = range(5), 720, 1.25
METHODS = {
    "dapo": ("dapo", "paper", {}),
    "mt_grpo paper lam=0.2": ("mt_grpo", "paper", {"lam": 0.2}),
    "mt_grpo released lam=0.2": ("mt_grpo", "released", {"lam": 0.2}),
    "mt_grpo default": ("mt_grpo", "default", {}),
    "balanced without learnability": ("balanced", "default", {"learnability": False}),
    "balanced": ("balanced", "default", {}),
}
BARREN = {
    "hopeless": SimulatedTask("barren", skill=-60.0, spread=1.0, learning_rate=0.0),
    "stuck": SimulatedTask("barren", skill=-60.0, spread=1.0, learning_rate=0.0, floor=0.05),
}


def one_run(world: World, method: str, steps: int, seed: int) -> SimulationResult:
    preset, variant, weighting = METHODS[method]
    options = {"variant": variant, "setting": "three_tasks", "weighting": weighting}
    return simulate(world, preset, steps=steps, seed=seed, **options)


def main() -> None:
    recorded: dict[str, Any] = {}
    if sys.argv[1:]:
        recorded = json.loads(RECORD.read_text(encoding="utf-8"))["methods"]

    record: dict[str, Any] = {
        "what": "accuracy of the three learnable tasks with a fourth, at 1.25 times the rollouts, "
        "against without it",
        "seeds": len(SEEDS),
        "steps": STEPS,
        "methods": recorded,
    }

    for method in sys.argv[1:] or METHODS:
        record["methods"][method] = rows_of(method)
        print(method, json.dumps(record["methods"][method]))

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def rows_of(method: str) -> dict[str, Any]:
    """The three tasks alone, and what each kind of fourth task does to them."""
    world = World.named("three_tasks")
    alone = [one_run(world, method, STEPS, seed) for seed in SEEDS]

    rows: dict[str, Any] = {
        "alone": {
            "accuracy": _points([run.accuracy[-1] for run in alone]),
            "rollouts": int(np.mean([run.rollouts[-1] for run in alone])),
        }
    }
    for kind, task in BARREN.items():
        rows[kind] = with_fourth(method, replace(world, tasks=(*world.tasks, task)), alone)

    return rows


def with_fourth(method: str, world: World, alone: Sequence[SimulationResult]) -> dict[str, Any]:
    differences: list[Floats] = []
    at_equal_steps: list[float] = []
    weights: list[float] = []

    for seed, base in zip(SEEDS, alone, strict=True):
        run = one_run(world, method, 2 * STEPS, seed)
        budget = MORE * base.rollouts[-1]
        reached = [np.interp(budget, run.rollouts, run.accuracy[:, k]) for k in range(3)]

        differences.append(np.array(reached) - base.accuracy[-1])
        at_equal_steps.append(float(run.rollouts[STEPS] / base.rollouts[-1]))
        weights.append(float(run.weights[STEPS // 2 : STEPS, 3].mean()))

    return {
        "difference_at_1.25x_rollouts": _points(differences),
        "rollouts_of_as_many_steps": round(float(np.mean(at_equal_steps)), 2),
        "weight_of_the_barren_task": round(float(np.mean(weights)), 3),
        "within_two_points": bool(np.mean(differences, axis=0).min() >= -0.02),
    }


def _points(values: Sequence[Floats]) -> list[float]:
    return np.round(100 * np.mean(values, axis=0), 1).tolist()


if __name__ == "__main__":
    main()

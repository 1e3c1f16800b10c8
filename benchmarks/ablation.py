"""The preset `balanced` minus each of its parts, on random worlds with and without a hopeless task.

    python benchmarks/ablation.py                # some minutes; writes ablation.json beside this file

Worlds are the first twenty that random_worlds.py reports on. Each is trained as it is, and with one
more task of which no completion is ever right; worst and mean accuracy are those of the other
tasks. All runs of a world share its steps and seed, so differences are paired; errors are standard
errors over worlds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED, random_setting

from mtgrpo.core.types import Floats
from mtgrpo.core.weightings import Uniform
from mtgrpo.simulation import SimulatedTask, World, simulate

RECORD = Path(__file__).with_suffix(".json")
WORLDS = REPORTED[:20]
BARREN = SimulatedTask("barren", skill=-60.0, spread=1.0, learning_rate=0.0)
OVERSAMPLED = {"planner": {"kind": "oversampled"}}
# part that is missing: changes to the weighting (or another one), and to the sampler
MISSING: dict[str, tuple[Any, dict[str, Any]]] = {
    "nothing": ({}, {}),
    "rounds sized by need (3 B prompts a round instead)": ({}, OVERSAMPLED),
    "surplus bank": ({}, {"max_staleness": 0}),
    "limit on what a step spends on a task": ({}, {"max_prompts_per_group": None}),
    "learnability": ({"learnability": False}, {}),
    "learnability and the limit": ({"learnability": False}, {"max_prompts_per_group": None}),
    "worst fraction (the single worst instead)": ({"worst_fraction": 1e-6}, {}),
    "adaptive weights (uniform instead)": (Uniform(), {}),
}


def one_run(number: int, part: str, barren: bool) -> tuple[float, float, float, float]:
    """Worst and mean final accuracy, groups per step over the batch size, rounds per step."""
    setting = random_setting(number)
    weighting, sampler = MISSING[part]
    num_tasks = len(setting.world.tasks)

    run = simulate(
        with_barren_task(setting.world) if barren else setting.world,
        "balanced",
        steps=setting.steps,
        batch_size=setting.batch_size,
        group_size=setting.group_size,
        weighting=weighting,
        sampler=sampler,
    )

    groups = run.rollouts[-1] / setting.group_size / setting.steps / setting.batch_size
    accuracy = run.accuracy[-1, :num_tasks]

    return float(accuracy.min()), float(accuracy.mean()), float(groups), float(run.rounds.mean())


def with_barren_task(world: World) -> World:
    """The world with one more task, which neither helps nor hinders the others."""
    size = len(world.tasks)
    transfer = np.eye(size + 1)
    transfer[:size, :size] = world.transfer_matrix()
    rows = tuple(tuple(row) for row in transfer.tolist())

    return replace(world, tasks=(*world.tasks, BARREN), transfer=rows)


def main() -> None:
    record: dict[str, Any] = {
        "what": "balanced minus a part, at equal steps: accuracies in points, groups generated per "
        "group trained on",
        "worlds": len(WORLDS),
    }

    for title, barren in (("as they are", False), ("with a barren task", True)):
        whole = np.array([one_run(number, "nothing", barren) for number in WORLDS])
        table: dict[str, Any] = {}

        for part in MISSING:
            runs = np.array([one_run(number, part, barren) for number in WORLDS])
            table[part] = row(runs, whole)
            print(barren, part, table[part], flush=True)

        record[title] = table

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def row(runs: Floats, whole: Floats) -> dict[str, Any]:
    """What the runs without a part come to, against the whole preset; shape (worlds, 4) each."""
    change = 100 * (runs[:, :2] - whole[:, :2])
    errors = change.std(axis=0, ddof=1) / np.sqrt(len(WORLDS))
    cost_ratio = np.exp(np.log(runs[:, 2] / whole[:, 2]).mean())
    worst, mean, groups, rounds = runs.mean(axis=0).tolist()

    return {
        "worst": round(100 * worst, 1),
        "mean": round(100 * mean, 1),
        "worst_change": [round(float(change[:, 0].mean()), 2), round(float(errors[0]), 2)],
        "mean_change": [round(float(change[:, 1].mean()), 2), round(float(errors[1]), 2)],
        "cost_ratio": round(float(cost_ratio), 3),
        "groups_per_trained_group": round(groups, 2),
        "rounds_per_step": round(rounds, 2),
    }


if __name__ == "__main__":
    main()

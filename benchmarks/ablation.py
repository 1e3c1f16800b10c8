"""The preset `balanced` minus each of its parts, on random simulated worlds with and without a hopeless task.

    python benchmarks/ablation.py                # some minutes; writes ablation.json beside this file

Worlds are the first twenty that random_worlds.py reports on. Each is trained as it is, and with one more task of which
no completion is ever right; worst and mean accuracy are those of the other tasks. All runs of a world share its steps
and seed, so differences are paired; errors are standard errors over worlds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED, random_setting

from mtgrpo.core.weightings import Uniform
from mtgrpo.simulation import SimulatedTask, simulate

RECORD = Path(__file__).with_suffix(".json")
WORLDS = REPORTED[:20]
BARREN = SimulatedTask("barren", skill=-60.0, spread=1.0, learning_rate=0.0)
# part that is missing: changes to the weighting and to the sampler
MISSING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "rounds sized by need (3 B prompts a round instead)": (
        {},
        {"planner": {"kind": "oversampled"}},
    ),
    "surplus bank": ({}, {"max_staleness": 0}),
    "limit on what a step spends on a task": ({}, {"max_prompts_per_group": None}),
    "learnability": ({"learnability": False}, {}),
    "learnability and the limit": ({"learnability": False}, {"max_prompts_per_group": None}),
    "worst fraction (the single worst instead)": ({"worst_fraction": 1e-6}, {}),
    "adaptive weights (uniform instead)": ({"rule": "uniform"}, {}),
}


def one_run(number: int, part: str, barren: bool) -> tuple[float, float, float, float]:
    """Worst and mean final accuracy, groups per step over the batch size, rounds per step."""
    setting, (weighting, sampler) = random_setting(number), MISSING[part]
    world, size = setting.world, len(setting.world.tasks)

    if barren:
        transfer = (*((*row, 0.0) for row in world.transfer), (*(0.0 for _ in range(size)), 1.0))
        world = replace(world, tasks=(*world.tasks, BARREN), transfer=transfer)

    rule: Any = Uniform() if weighting.get("rule") == "uniform" else weighting

    run = simulate(
        world,
        "balanced",
        steps=setting.steps,
        batch_size=setting.batch_size,
        group_size=setting.group_size,
        weighting=rule,
        sampler=sampler,
    )

    groups = run.rollouts[-1] / setting.group_size / setting.steps / setting.batch_size
    accuracy = run.accuracy[-1, :size]

    return float(accuracy.min()), float(accuracy.mean()), float(groups), float(run.rounds.mean())


def main() -> None:
    record: dict[str, Any] = {
        "what": "balanced minus a part, at equal steps: accuracies in points, groups generated per group trained on",
        "worlds": len(WORLDS),
    }

    for barren in (False, True):
        table: dict[str, Any] = {}
        whole = None

        for part in MISSING:
            found = np.array([one_run(number, part, barren) for number in WORLDS])
            whole = found if whole is None else whole
            change = 100 * (found[:, :2] - whole[:, :2])
            errors = change.std(axis=0, ddof=1) / np.sqrt(len(WORLDS))

            table[part] = {
                "worst": round(100 * float(found[:, 0].mean()), 1),
                "mean": round(100 * float(found[:, 1].mean()), 1),
                "worst_change": [round(float(change[:, 0].mean()), 2), round(float(errors[0]), 2)],
                "mean_change": [round(float(change[:, 1].mean()), 2), round(float(errors[1]), 2)],
                "cost_ratio": round(float(np.exp(np.log(found[:, 2] / whole[:, 2]).mean())), 3),
                "groups_per_trained_group": round(float(found[:, 2].mean()), 2),
                "rounds_per_step": round(float(found[:, 3].mean()), 2),
            }

            print(barren, part, table[part], flush=True)

        record["with a barren task" if barren else "as they are"] = table

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

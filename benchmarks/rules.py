"""Rules for task weights, with the plain sampler and with the ratio-preserving one, simulated.

    python benchmarks/rules.py                 # goes on with rules.json beside this; some minutes
    python benchmarks/rules.py table           # prints the tables of the record

Every rule has its default arguments; nothing is tuned on these worlds. Runs are compared at equal
rollouts: those of plain GRPO over all steps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.simulation import SimulationResult, World, simulate

STEPS = 720
SEEDS = range(3)
GROUP_SIZE = 8
WORLDS = {"three_tasks": (World.three_tasks(), 32), "nine_tasks": (World.nine_tasks(), 256)}

RULES = {
    "uniform": {"rule": "uniform"},
    "sec": {"rule": "sec"},
    "sfl": {"rule": "sfl"},
    "thompson": {"rule": "thompson"},
    "dump": {"rule": "dump", "group_size": GROUP_SIZE},
    "drats": {"rule": "drats"},
    "improvement_aware": {},
    "regularized": {"rule": "regularized"},
    "balanced": {"rule": "balanced"},
}
SAMPLERS = {"plain": "grpo", "rps": "grpo_rps"}
WHOLE = ("dapo", "balanced")
RECORD = Path(__file__).with_suffix(".json")


def one_method(world: str, name: str, sampler: str) -> dict[str, Any]:
    """Worst and mean accuracy in percent at equal rollouts, a value per seed."""
    runs = [_run(world, name, sampler, seed) for seed in SEEDS]
    budget = STEPS * WORLDS[world][1] * GROUP_SIZE

    at = [int(np.searchsorted(run.rollouts, budget, side="right")) - 1 for run in runs]
    pairs = list(zip(runs, at, strict=True))
    weights = [float(run.weights[:i].max(axis=1).mean()) for run, i in pairs]
    return {
        "worst": [round(100 * float(run.worst_accuracy[i]), 2) for run, i in pairs],
        "mean": [round(100 * float(run.mean_accuracy[i]), 2) for run, i in pairs],
        "steps": at,
        "largest_weight": round(float(np.mean(weights)), 3),
    }


def _run(world: str, name: str, sampler: str, seed: int) -> SimulationResult:
    tasks, batch_size = WORLDS[world]
    preset, weighting = name, {}

    if sampler != "whole":
        # improvement_aware has published settings of its own, which its presets know.
        own = {"plain": "grpo_iwu", "rps": "mt_grpo"}
        preset = SAMPLERS[sampler] if RULES[name] else own[sampler]
        weighting = RULES[name]

    budget = STEPS * batch_size * GROUP_SIZE
    for steps in (STEPS // 2, STEPS, 2 * STEPS, 4 * STEPS):
        if sampler == "plain" and steps < STEPS:
            continue

        run = simulate(
            tasks,
            preset,
            steps=steps,
            batch_size=batch_size,
            group_size=GROUP_SIZE,
            seed=seed,
            weighting=weighting,
        )
        if run.rollouts[-1] >= budget:
            return run
    raise SystemExit(f"{world}, {name}, {sampler}: fewer rollouts than {budget} in {steps} steps")


def measure() -> None:
    """Simulate what the record lacks; it is written after each method."""
    record: dict[str, Any] = {"steps": STEPS, "seeds": list(SEEDS), "group_size": GROUP_SIZE}
    if RECORD.exists():
        record = json.loads(RECORD.read_text(encoding="utf-8"))

    for world in WORLDS:
        found: dict[str, Any] = record.setdefault(world, {})

        methods = [(name, sampler) for sampler in SAMPLERS for name in RULES]
        methods += [(name, "whole") for name in WHOLE]
        for name, sampler in methods:
            if f"{name} {sampler}" in found:
                continue
            found[f"{name} {sampler}"] = one_method(world, name, sampler)
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def show() -> None:
    """Print the record: mean over seeds and its standard error."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))

    for world in WORLDS:
        print(f"\n| {world} | worst | mean | largest weight |\n|---|---|---|---|")
        for name, figures in record[world].items():
            cells = [_cell(figures[key]) for key in ("worst", "mean")]
            print(f"| {name} | {cells[0]} | {cells[1]} | {figures['largest_weight']:.2f} |")


def _cell(values: list[float]) -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.1f} ± {error:.1f}"


if __name__ == "__main__":
    if sys.argv[1:] != ["table"]:
        measure()
    show()

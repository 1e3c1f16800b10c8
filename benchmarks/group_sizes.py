"""G completions a prompt in {2, 4, 8, 16, 32}, at equal rollouts, on random simulated worlds.

    python benchmarks/group_sizes.py run runs/group_sizes.jsonl   # an hour on one core; resumable
    python benchmarks/group_sizes.py compare runs/group_sizes.jsonl    # writes group_sizes.json

Settings are those of REPORTED (random_worlds.py), each with its own rollouts. A smaller group is
paid back in one of two ways, which bracket what a user would do:

* `more prompts`: B G completions a step and the number of steps are the setting's own.
* `more steps`: B is the setting's own, and a step is cheaper.

The learning rate is the world's in all of them. The toy policy's drift hardly depends on noise and
its step is a mean over the batch, so that `more steps` goes further per rollout by itself; within
either way groups of different sizes are compared alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED, Setting, random_setting
from recorded import main

from mtgrpo.core.types import Floats
from mtgrpo.simulation import simulate

METHODS = {"grpo": "paper", "grpo_fair": "default"}
SIZES = (2, 4, 8, 16, 32)
WAYS = ("more prompts", "more steps")
BASE_SIZE, SEED, NUM_DRAWS = 8, 0, 2000
RECORD = Path(__file__).with_suffix(".json")
Runs = dict[tuple[str, str, int, int], list[float]]


def shape(setting: Setting, way: str, size: int) -> tuple[int, int]:
    """Groups a step, and steps."""
    factor = setting.group_size / size
    if way == "more prompts":
        return max(1, round(setting.batch_size * factor)), setting.steps

    return setting.batch_size, max(1, round(setting.steps * factor))


def read(path: Path) -> Runs:
    """Worst and mean accuracy of all finished runs, by (method, way, G, setting)."""
    runs: Runs = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            *key, result = json.loads(line)
            runs[tuple(key)] = result
    return runs


def run_all(path: Path) -> None:
    done = read(path)
    with path.open("a", encoding="utf-8") as file:
        for number in REPORTED:
            setting = random_setting(number)
            for method, variant in METHODS.items():
                for way in WAYS:
                    for size in SIZES:
                        key = (method, way, size, number)
                        if key in done:
                            continue

                        batch_size, steps = shape(setting, way, size)
                        run = simulate(
                            setting.world,
                            method,
                            variant=variant,
                            steps=steps,
                            batch_size=batch_size,
                            group_size=size,
                            seed=SEED,
                        )
                        result = [run.worst_accuracy[-1], run.mean_accuracy[-1]]
                        file.write(json.dumps([*key, np.round(result, 4).tolist()]) + "\n")
                        file.flush()


def compare(runs: Runs) -> dict[str, Any]:
    """Each size against groups of 8, over the settings that have all runs; points."""
    numbers: list[int] = []
    for number in REPORTED:
        wanted = [(m, way, size, number) for m in METHODS for way in WAYS for size in SIZES]
        if all(key in runs for key in wanted):
            numbers.append(number)

    table: dict[str, Any] = {}
    for method in METHODS:
        table[method] = {}
        for way in WAYS:
            base = np.array([runs[method, way, BASE_SIZE, n] for n in numbers])  # (worlds, 2)
            rows: dict[str, Any] = {}
            for size in SIZES:
                ends = np.array([runs[method, way, size, n] for n in numbers])
                rows[f"G = {size}"] = row(100 * ends, 100 * (ends - base))
            table[method][way] = rows

    return {"worlds": len(numbers), "seeds": 1, "against": f"G = {BASE_SIZE}", "methods": table}


def row(ends: Floats, difference: Floats) -> dict[str, Any]:
    """Levels, and differences with a bootstrap interval over worlds; shape (worlds, 2) each."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(difference), size=(NUM_DRAWS, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), (0.025, 0.975), axis=0)

    figures: dict[str, Any] = {}
    for i, name in enumerate(("worst", "mean")):
        figures[name] = round(float(ends[:, i].mean()), 1)
        figures[f"{name}_difference"] = round(float(difference[:, i].mean()), 1)
        figures[f"{name}_interval"] = [round(float(low[i]), 1), round(float(high[i]), 1)]
    return figures


if __name__ == "__main__":
    main(__doc__, run_all, lambda runs: compare(read(runs)), RECORD)

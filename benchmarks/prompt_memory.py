"""What a memory of prompts saves, whether tasks are still measured without bias, what it costs.

python benchmarks/prompt_memory.py            # everything; writes prompt_memory.json beside this file
python benchmarks/prompt_memory.py --quick    # a few steps, nothing written

The simulator trains a toy policy on tasks with finite sets of prompts, with the library's own
mixer, streams and memory. Runs with and without are paired by seed. How predictable a prompt is
comes from the simulated difficulty alone, which is an assumption: prompt_memory_embedded.py makes
the same comparison with the embedded model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.core.prompt_memory import PromptMemory
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.types import Draw
from mtgrpo.simulation import SimulatedTask, SimulationResult, World, simulate

# world, groups per step, completions per group, steps: the paper's two settings, and small groups
# in the first
SETTINGS = (("three_tasks", 32, 72, 720), ("three_tasks", 32, 8, 720), ("nine_tasks", 256, 8, 240))
SIZES = (1_000, 3_000, 10_000)
SEEDS = range(2)
PRESETS = {"grpo_rps": SIZES, "balanced": (10_000,)}


def with_prompts(world: World, num_prompts: int) -> World:
    tasks = [dataclasses.replace(task, num_prompts=num_prompts) for task in world.tasks]
    return dataclasses.replace(world, tasks=tuple(tasks))


def savings(steps_share: float) -> list[dict[str, Any]]:
    """Rollouts, acceptance and outcome with and without, per world, size of prompt sets, method."""
    rows: list[dict[str, Any]] = []

    for name, batch_size, group_size, steps in SETTINGS:
        sizes = {
            "steps": round(steps * steps_share),
            "batch_size": batch_size,
            "group_size": group_size,
        }
        for preset, prompt_counts in PRESETS.items():
            for num_prompts in prompt_counts:
                row = {
                    "world": name,
                    "group_size": group_size,
                    "num_prompts": num_prompts,
                    "preset": preset,
                    **sizes,
                }
                world = with_prompts(World.named(name), num_prompts)
                row |= with_and_without(world, num_prompts, preset, sizes)
                rows.append(row)
                print(json.dumps(row), flush=True)

    return rows


def with_and_without(
    world: World, num_prompts: int, preset: str, sizes: dict[str, Any]
) -> dict[str, Any]:
    """What the memory changes, over the seeds."""
    plain: list[SimulationResult] = []
    remembering: list[SimulationResult] = []
    for seed in SEEDS:
        plain.append(simulate(world, preset, seed=seed, prompt_memory=False, **sizes))
        remembering.append(simulate(world, preset, seed=seed, prompt_memory=True, **sizes))

    epochs = np.mean([run.generated.sum(0) / num_prompts for run in plain], 0)  # (tasks,)
    ratios = [b.rollouts[-1] / a.rollouts[-1] for a, b in zip(plain, remembering, strict=True)]
    row: dict[str, Any] = {
        "epochs": _round(epochs.mean()),
        "epochs_max": _round(epochs.max()),
        "rollouts_ratio": [_round(ratio) for ratio in ratios],
    }

    for key, runs in (("without", plain), ("with", remembering)):
        acceptance = [run.informative.sum() / run.generated.sum() for run in runs]
        row[f"acceptance_{key}"] = _round(np.mean(acceptance))
        row[f"worst_accuracy_{key}"] = _round(np.mean([run.worst_accuracy[-1] for run in runs]))
        row[f"mean_accuracy_{key}"] = _round(np.mean([run.mean_accuracy[-1] for run in runs]))

    return row


def bias(num_groups: int) -> list[dict[str, Any]]:
    """The observed J_k minus the true one while the policy learns, at equal groups in every step.

    (Where rounds go on until enough groups are informative, their number depends on what is in
    them, and a step's mean is biased by that, with or without a memory.)
    """
    rows: list[dict[str, Any]] = []
    for per_step in (1, 4, 16):
        for memory in (False, True):
            rows.append(bias_of(per_step, memory, num_groups // per_step))
            print(json.dumps(rows[-1]), flush=True)

    return rows


def bias_of(per_step: int, memory: bool, steps: int) -> dict[str, Any]:
    rate = 0.003 * per_step
    task = SimulatedTask("task", skill=-4.0, spread=4.0, learning_rate=rate, num_prompts=100)
    sizes = {"steps": steps, "batch_size": per_step, "updates_per_step": 1}
    late = slice(steps // 5, None)  # by then the memory passes over prompts

    errors: list[float] = []
    acceptance: list[float] = []
    gained: list[float] = []
    skipped = 0

    for seed in range(12):
        run = simulate(World((task,)), "grpo", seed=seed, prompt_memory=memory, **sizes)
        errors += (run.observed[late, 0] - run.accuracy[:-1][late, 0]).tolist()
        acceptance.append(float(run.informative[late].sum() / run.generated[late].sum()))
        gained.append(run.accuracy[-1, 0] - run.accuracy[0, 0])
        skipped += int(run.skipped[late].sum())

    return {
        "memory": memory,
        "groups_in_step": per_step,
        "num_steps": len(errors),
        "bias": _round(np.mean(errors), 5),
        "std_error": _round(np.std(errors) / math.sqrt(len(errors)), 5),
        "deviation_of_a_step": _round(np.std(errors)),
        "skipped_rate": _round(skipped / (skipped + len(errors) * per_step)),
        "acceptance": _round(np.mean(acceptance)),
        "accuracy_gained": _round(np.mean(gained)),
    }


def costs(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Bytes and microseconds of one task's memory with every second prompt known to be constant."""
    rows: list[dict[str, Any]] = []

    for size in sizes:
        before = peak_mb()
        stream = PromptStream("task", size, remember=True)
        memory: PromptMemory = stream.memory  # type: ignore[assignment]
        rng = np.random.default_rng(0)

        noted = min(size, 200_000)
        for row in rng.integers(0, size, noted).tolist():
            memory.note(Draw(row), float(rng.random() < 0.5), bool(rng.random() < 0.5))

        started = time.process_time()
        stream.draw(20_000)
        seconds = time.process_time() - started

        rows.append(
            {
                "num_prompts": size,
                "bytes": sys.getsizeof(memory._codes),
                "process_growth_mb": _round(peak_mb() - before, 1),
                "state_bytes": len(json.dumps(stream.state_dict())),
                "noted": noted,
                "draw_us": _round(1e6 * seconds / 20_000, 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)

    return rows


def peak_mb() -> float:
    """The most memory that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, write nothing")
    quick = parser.parse_args().quick

    record = {
        "bias": bias(512 if quick else 3072),
        "costs": costs((10_000, 1_000_000, 10_000_000)),
        "savings": savings(0.02 if quick else 1.0),
    }
    if quick:
        return

    text = json.dumps(record, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

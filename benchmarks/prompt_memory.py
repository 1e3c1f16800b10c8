"""What a memory of prompts saves, whether the tasks are still measured without bias, and what it costs.

python benchmarks/prompt_memory.py            # everything; writes prompt_memory.json beside this file
python benchmarks/prompt_memory.py --quick    # a few steps, nothing written

The simulator trains a toy policy on tasks with finite sets of prompts, with the library's own mixer, streams and
memory. Runs with and without are paired by seed. How predictable a prompt is comes from the simulated difficulty
alone, which is an assumption: prompt_memory_embedded.py makes the same comparison with the embedded model.
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
from mtgrpo.simulation import SimulatedTask, World, simulate

# world, groups per step, completions per group, steps: the paper's two settings, and small groups in the first.
SETTINGS = (("three_tasks", 32, 72, 720), ("three_tasks", 32, 8, 720), ("nine_tasks", 256, 8, 240))
SIZES = (1_000, 3_000, 10_000)
SEEDS = range(2)
PRESETS = {"grpo_rps": SIZES, "balanced": (10_000,)}


def with_prompts(world: World, num_prompts: int) -> World:
    return dataclasses.replace(
        world,
        tasks=tuple(dataclasses.replace(task, num_prompts=num_prompts) for task in world.tasks),
    )


def savings(steps_share: float) -> list[dict[str, Any]]:
    """Rollouts, acceptance and outcome with and without, per world, size of the prompt sets and method."""
    rows: list[dict[str, Any]] = []

    for name, batch_size, group_size, steps in SETTINGS:
        for preset, sizes in PRESETS.items():
            for num_prompts in sizes:
                world = with_prompts(World.named(name), num_prompts)

                common = {
                    "steps": round(steps * steps_share),
                    "batch_size": batch_size,
                    "group_size": group_size,
                }

                pairs = [
                    [
                        simulate(world, preset, seed=seed, prompt_memory=memory, **common)
                        for memory in (False, True)
                    ]
                    for seed in SEEDS
                ]

                row = {
                    "world": name,
                    "group_size": group_size,
                    "num_prompts": num_prompts,
                    "preset": preset,
                    **common,
                }

                row["epochs"] = _round(
                    np.mean([plain.generated.sum(0) / num_prompts for plain, _ in pairs], 0).mean()
                )
                row["epochs_max"] = _round(
                    np.mean([plain.generated.sum(0) / num_prompts for plain, _ in pairs], 0).max()
                )
                row["rollouts_ratio"] = [
                    _round(with_.rollouts[-1] / plain.rollouts[-1]) for plain, with_ in pairs
                ]

                for i, key in enumerate(("without", "with")):
                    runs = [pair[i] for pair in pairs]
                    row[f"acceptance_{key}"] = _round(
                        np.mean([run.informative.sum() / run.generated.sum() for run in runs])
                    )
                    row[f"worst_accuracy_{key}"] = _round(
                        np.mean([run.worst_accuracy[-1] for run in runs])
                    )
                    row[f"mean_accuracy_{key}"] = _round(
                        np.mean([run.mean_accuracy[-1] for run in runs])
                    )

                rows.append(row)
                print(json.dumps(row), flush=True)

    return rows


def bias(num_groups: int) -> list[dict[str, Any]]:
    """The observed J_k minus the true one while the policy learns, with the same number of groups in every step.

    (Where rounds go on until enough groups are informative, their number depends on what is in them, and a step's
    mean is biased by that, with or without a memory.)
    """
    rows: list[dict[str, Any]] = []

    for per_step in (1, 4, 16):
        task = SimulatedTask(
            "task", skill=-4.0, spread=4.0, learning_rate=0.003 * per_step, num_prompts=100
        )
        steps = num_groups // per_step

        for memory in (False, True):
            errors, acceptance, skipped, gained = list[float](), list[float](), 0, list[float]()

            for seed in range(12):
                sizes = {"steps": steps, "batch_size": per_step, "updates_per_step": 1}
                run = simulate(World((task,)), "grpo", seed=seed, prompt_memory=memory, **sizes)
                late = slice(steps // 5, None)  # by then the memory passes over prompts
                errors += (run.observed[late, 0] - run.accuracy[:-1][late, 0]).tolist()
                skipped += int(run.skipped[late].sum())
                gained.append(run.accuracy[-1, 0] - run.accuracy[0, 0])
                acceptance.append(float(run.informative[late].sum() / run.generated[late].sum()))

            row = {"memory": memory, "groups_in_step": per_step, "num_steps": len(errors)}
            row |= {
                "bias": _round(np.mean(errors), 5),
                "std_error": _round(np.std(errors) / math.sqrt(len(errors)), 5),
            }
            row |= {
                "deviation_of_a_step": _round(np.std(errors)),
                "skipped_rate": _round(skipped / (skipped + len(errors) * per_step)),
            }
            row |= {
                "acceptance": _round(np.mean(acceptance)),
                "accuracy_gained": _round(np.mean(gained)),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)

    return rows


def costs(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Bytes and microseconds of one task's memory with every second prompt known to be constant."""
    rows: list[dict[str, Any]] = []

    for size in sizes:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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
                "process_growth_mb": _round(
                    (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1
                ),
                "state_bytes": len(json.dumps(stream.state_dict())),
                "noted": noted,
                "draw_us": _round(1e6 * seconds / 20_000, 2),
            }
        )

        print(json.dumps(rows[-1]), flush=True)

    return rows


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, write nothing")
    quick = parser.parse_args().quick

    found = {
        "bias": bias(512 if quick else 3072),
        "costs": costs((10_000, 1_000_000, 10_000_000)),
        "savings": savings(0.02 if quick else 1.0),
    }

    if not quick:
        Path(__file__).with_suffix(".json").write_text(
            json.dumps(found, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

"""How long the core takes per step: ask + tell + update, for many tasks.

Writes core_speed.json beside this file.

python benchmarks/core_speed.py            # the whole table, about a minute
python benchmarks/core_speed.py --quick    # a few repetitions, nothing written
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from stopwatch import Stopwatch

from mtgrpo import Group, TaskMixer

# tasks, groups per batch, completions per group
CASES = [
    (3, 32, 72),  # the paper's two settings
    (9, 256, 8),
    (10, 1024, 8),
    (100, 1024, 8),
    (1_000, 1024, 8),
    (10_000, 1024, 8),
    (100_000, 1024, 8),
]
REWARDS = (1.0, 0.0, 0.1)
NUM_WARM_UP = 2
"""First steps, which warm up caches and estimates."""
COLUMNS = (
    "num_tasks",
    "batch_size",
    "groups_per_step",
    "ask_ms",
    "tell_ms",
    "update_ms",
    "step_ms",
    "metrics_ms",
    "state_ms",
)


def make_groups(request: Mapping[str, int], group_size: int, turn: Counter[str]) -> list[Group]:
    """Two groups of three are informative, the third is all wrong.

    Making them is the engine's part, not the core's.
    """
    wrong, mixed = (0.0,) * group_size, (REWARDS * group_size)[:group_size]
    groups: list[Group] = []

    for task, count in request.items():
        for _ in range(count):
            turn[task] += 1
            groups.append(Group.verified(task, wrong if turn[task] % 3 == 0 else mixed))

    return groups


def measure(num_tasks: int, batch_size: int, group_size: int, repetitions: int) -> dict[str, float]:
    """Medians over steps, in milliseconds of CPU time."""
    mixer = TaskMixer([f"task-{i}" for i in range(num_tasks)], batch_size=batch_size)
    turn: Counter[str] = Counter()
    watch = Stopwatch()
    num_groups = 0

    for repetition in range(NUM_WARM_UP + repetitions):
        watch.begin_step()
        batch = watch.measure("ask", mixer.new_batch)

        while request := watch.measure("ask", batch.ask):
            groups = make_groups(request, group_size, turn)
            watch.measure("tell", batch.tell, groups)

        if repetition >= NUM_WARM_UP:
            num_groups += batch.counts.num_generated

        watch.measure("update", mixer.update)
        watch.measure("metrics", mixer.metrics)
        watch.measure("state", lambda: json.dumps(mixer.state_dict()))

        spent = watch.steps[-1]
        spent["step"] = spent["ask"] + spent["tell"] + spent["update"]

    return {
        "num_tasks": num_tasks,
        "batch_size": batch_size,
        "group_size": group_size,
        "repetitions": repetitions,
        "groups_per_step": round(num_groups / repetitions, 1),
        **watch.medians(skip=NUM_WARM_UP),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three repetitions, write nothing")
    quick = parser.parse_args().quick

    print(" ".join(f"{column:>15}" for column in COLUMNS))
    rows: list[dict[str, float]] = []

    for num_tasks, batch_size, group_size in CASES:
        repetitions = 100 if num_tasks <= 10_000 else 20
        if quick:
            repetitions = 3

        row = measure(num_tasks, batch_size, group_size, repetitions)
        print(" ".join(f"{row[column]:>15}" for column in COLUMNS), flush=True)
        rows.append(row)

    if quick:
        return

    about = {
        "what": "median milliseconds of CPU time per step; step = ask + tell + update, without "
        "making the groups",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    text = json.dumps({"about": about, "rows": rows}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

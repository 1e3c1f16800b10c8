"""How long the core takes per step: ask + tell + update, for many tasks. Writes core_speed.json beside this file.

python benchmarks/core_speed.py            # the whole table, about a minute
python benchmarks/core_speed.py --quick    # a few repetitions, nothing written
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

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


def make_groups(request: Mapping[str, int], group_size: int, turn: Counter[str]) -> list[Group]:
    """Two groups of three are informative, the third is all wrong. Part of the engine's time, not of the core's."""
    groups: list[Group] = []

    for task, count in request.items():
        for _ in range(count):
            turn[task] += 1
            rewards = (
                (0.0,) * group_size if turn[task] % 3 == 0 else (REWARDS * group_size)[:group_size]
            )
            groups.append(Group.verified(task, rewards))

    return groups


def measure(num_tasks: int, batch_size: int, group_size: int, repetitions: int) -> dict[str, float]:
    """Medians over steps, in milliseconds of CPU time: the core never waits, and other processes do not count."""
    mixer = TaskMixer([f"task-{i}" for i in range(num_tasks)], batch_size=batch_size)
    turn: Counter[str] = Counter()

    seconds: dict[str, list[float]] = {
        "ask": [],
        "tell": [],
        "update": [],
        "step": [],
        "metrics": [],
        "state": [],
    }

    num_groups = 0

    for repetition in range(repetitions + 2):
        spent = dict.fromkeys(seconds, 0.0)

        def timed(what: str, started: float, spent: dict[str, float] = spent) -> None:
            spent[what] += time.process_time() - started

        started = time.process_time()
        batch = mixer.new_batch()
        request = batch.ask()
        timed("ask", started)

        while request:
            groups = make_groups(request, group_size, turn)
            started = time.process_time()
            batch.tell(groups)
            timed("tell", started)
            started = time.process_time()
            request = batch.ask()
            timed("ask", started)

        num_generated = batch.counts.num_generated
        started = time.process_time()
        mixer.update()
        timed("update", started)
        spent["step"] = spent["ask"] + spent["tell"] + spent["update"]
        started = time.process_time()
        mixer.metrics()
        timed("metrics", started)
        started = time.process_time()
        json.dumps(mixer.state_dict())
        timed("state", started)

        if repetition >= 2:  # the first steps warm up caches and estimates
            num_groups += num_generated
            for what, value in spent.items():
                seconds[what].append(value)

    medians = {
        f"{what}_ms": round(1000 * statistics.median(values), 3) for what, values in seconds.items()
    }

    return {
        "num_tasks": num_tasks,
        "batch_size": batch_size,
        "group_size": group_size,
        "repetitions": repetitions,
        "groups_per_step": round(num_groups / repetitions, 1),
        **medians,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three repetitions, write nothing")
    quick = parser.parse_args().quick

    columns = [
        "num_tasks",
        "batch_size",
        "groups_per_step",
        "ask_ms",
        "tell_ms",
        "update_ms",
        "step_ms",
    ]

    columns += ["metrics_ms", "state_ms"]
    print(" ".join(f"{column:>15}" for column in columns))
    rows: list[dict[str, float]] = []

    for num_tasks, batch_size, group_size in CASES:
        rows.append(
            measure(
                num_tasks, batch_size, group_size, 3 if quick else 20 if num_tasks > 10_000 else 100
            )
        )

        print(" ".join(f"{rows[-1][column]:>15}" for column in columns), flush=True)

    if quick:
        return

    about = {
        "what": "median milliseconds of CPU time per step; step = ask + tell + update, without making the groups",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }

    text = json.dumps({"about": about, "rows": rows}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

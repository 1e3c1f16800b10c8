"""How fast the simulator is: three and nine tasks at the paper's size, every method; CPU time.

python benchmarks/simulate_speed.py            # writes simulate_speed.json beside this file
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo import presets
from mtgrpo.simulation import World, simulate

STEPS = 720
SETTINGS = (("three_tasks", 32, 8), ("nine_tasks", 256, 8))


def main() -> None:
    rows: list[dict[str, Any]] = []

    for setting, batch_size, group_size in SETTINGS:
        for name in presets.NAMES:
            if name.startswith("seq_"):  # needs phases, and costs what theirs do
                continue

            for variant in presets.VARIANTS:
                rows.append(measure(setting, name, variant, batch_size, group_size))
                print(rows[-1], flush=True)

    machine = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "architecture": platform.machine(),
    }
    text = json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


def measure(
    setting: str, name: str, variant: str, batch_size: int, group_size: int
) -> dict[str, Any]:
    sizes = {"steps": STEPS, "batch_size": batch_size, "group_size": group_size}
    world = World.named(setting)

    start = time.process_time()
    run = simulate(world, name, variant=variant, setting=setting, **sizes)
    elapsed = time.process_time() - start
    groups = int(run.generated.sum())

    return {
        "setting": setting,
        "preset": name,
        "variant": variant,
        "cpu_s": round(elapsed, 3),
        "steps_per_cpu_s": round(run.steps / elapsed, 1),
        "groups": groups,
        "groups_per_cpu_s": round(groups / elapsed),
    }


if __name__ == "__main__":
    main()

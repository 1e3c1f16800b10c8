"""How fast the simulator is: three and nine tasks at the paper's size, every method in every variant; CPU time.

python benchmarks/simulate_speed.py simulate_speed.json
"""

import json
import platform
import sys
import time

import numpy as np

from mtgrpo import presets
from mtgrpo.simulation import World, simulate

NAMES = [
    name for name in presets.NAMES if not name.startswith("seq_")
]  # those need phases, and cost what theirs do


def main(path: str) -> None:
    rows = []

    for setting, batch_size, group_size in (("three_tasks", 32, 8), ("nine_tasks", 256, 8)):
        world = World.named(setting)

        for name in NAMES:
            for variant in presets.VARIANTS:
                start = time.process_time()
                run = simulate(
                    world, name, variant=variant, setting=setting, steps=720, batch_size=batch_size,
                    group_size=group_size,
                )  # fmt: skip
                elapsed = time.process_time() - start
                rows.append(
                    {
                        "setting": setting,
                        "preset": name,
                        "variant": variant,
                        "cpu_s": round(elapsed, 3),
                        "steps_per_cpu_s": round(run.steps / elapsed, 1),
                        "groups": int(run.generated.sum()),
                        "groups_per_cpu_s": round(float(run.generated.sum()) / elapsed),
                    }
                )

                print(rows[-1])

    machine = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "architecture": platform.machine(),
    }

    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": rows}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "simulate_speed.json")

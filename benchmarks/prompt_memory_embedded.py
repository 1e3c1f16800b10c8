"""Prompt memory with the embedded model: rollouts for the same batches, with and without.

python benchmarks/prompt_memory_embedded.py            # some minutes; writes prompt_memory_embedded.json
python benchmarks/prompt_memory_embedded.py --quick    # a few steps, nothing written

Each task has 80 prompts, so that a short run sees each of them several times. Nothing here is tuned.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.config import load_config
from mtgrpo.core.types import Floats
from mtgrpo.jobs.run import train
from mtgrpo.runlog import Run, read_run

SEEDS = (0, 1)
STEPS = 45
NUM_PROMPTS = 80


def run(seed: int, memory: bool, steps: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        changes = [
            "preset=grpo_rps",
            f"seed={seed}",
            f"steps={steps}",
            f"prompt_memory={str(memory).lower()}",
            f"output={folder}/run",
            "evaluation.every=0",
            "evaluation.prompts_per_task=50",
        ]
        changes += [f"tasks.{i}.num_train={NUM_PROMPTS}" for i in range(3)]
        train(load_config("demo", changes))

        return read_run(f"{folder}/run")


def figures(run: Run) -> dict[str, Any]:
    """Per task: epochs, acceptance and what was passed over in parts of the run; how it ended."""
    third = len(run.metrics) // 3
    tasks: dict[str, Any] = {}

    for task in run.tasks:
        generated = series(run, task, "num_generated")
        accepted = generated * series(run, task, "acceptance_rate")
        skipped = series(run, task, "prompts_skipped_rate")
        last = run.evaluations[-1].tasks[task]

        tasks[task] = {
            "epochs": round(float(generated.sum()) / NUM_PROMPTS, 2),
            "acceptance_first_third": _share(accepted[:third], generated[:third]),
            "acceptance_last_third": _share(accepted[-third:], generated[-third:]),
            "skipped_last_third": round(float(skipped[-third:].sum()) / max(1, third), 3),
            "accuracy_after": round(last.accuracy, 4),
            "std_error": round(last.std_error, 4),
        }

    return {"rollouts": run.metrics[-1].rollouts, "tasks": tasks}


def series(run: Run, task: str, name: str) -> Floats:
    """A metric of a task, by step."""
    return np.array([m.values.get(f"task/{task}/{name}", 0.0) for m in run.metrics])


def _share(part: Floats, whole: Floats) -> float:
    return round(float(part.sum()) / max(1.0, float(whole.sum())), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, write nothing")
    quick = parser.parse_args().quick
    seeds, steps = ((0,), 6) if quick else (SEEDS, STEPS)

    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for memory in (False, True):
            done = figures(run(seed, memory, steps))
            rows.append({"seed": seed, "prompt_memory": memory, **done})
            print(json.dumps(rows[-1]), flush=True)

    if quick:
        return

    text = json.dumps(rows, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Prompt memory with the embedded model: rollouts for the same batches, with and without, as prompts come back.

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

from mtgrpo.config import load_config
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
        ]

        changes += [f"output={folder}/run", "evaluation.every=0", "evaluation.prompts_per_task=50"]
        changes += [f"tasks.{i}.num_train={NUM_PROMPTS}" for i in range(3)]
        train(load_config("demo", changes))

        return read_run(f"{folder}/run")


def figures(found: Run) -> dict[str, Any]:
    """Per task and third of the run: epochs, acceptance and what was passed over; and how it ended."""
    thirds = len(found.metrics) // 3
    tasks: dict[str, Any] = {}

    for task in found.tasks:
        generated = [m.values.get(f"task/{task}/num_generated", 0.0) for m in found.metrics]
        accepted = [
            g * m.values.get(f"task/{task}/acceptance_rate", 0.0)
            for g, m in zip(generated, found.metrics, strict=True)
        ]
        skipped = [m.values.get(f"task/{task}/prompts_skipped_rate", 0.0) for m in found.metrics]
        last = found.evaluations[-1].tasks[task]

        tasks[task] = {
            "epochs": round(sum(generated) / NUM_PROMPTS, 2),
            "acceptance_first_third": _share(accepted[:thirds], generated[:thirds]),
            "acceptance_last_third": _share(accepted[-thirds:], generated[-thirds:]),
            "skipped_last_third": round(sum(skipped[-thirds:]) / max(1, thirds), 3),
            "accuracy_after": round(last.accuracy, 4),
            "std_error": round(last.std_error, 4),
        }

    return {"rollouts": found.metrics[-1].rollouts, "tasks": tasks}


def _share(part: list[float], whole: list[float]) -> float:
    return round(sum(part) / max(1.0, sum(whole)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, write nothing")
    quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []

    for seed in SEEDS[: 1 if quick else None]:
        for memory in (False, True):
            rows.append(
                {
                    "seed": seed,
                    "prompt_memory": memory,
                    **figures(run(seed, memory, 6 if quick else STEPS)),
                }
            )

            print(json.dumps(rows[-1]), flush=True)

    if not quick:
        Path(__file__).with_suffix(".json").write_text(
            json.dumps(rows, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

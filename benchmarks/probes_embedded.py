"""Probes with the embedded model: groups of 32, three tasks, whole and in parts.

    python benchmarks/probes_embedded.py run runs/probes.jsonl    # minutes each; resumable
    python benchmarks/probes_embedded.py compare runs/probes.jsonl    # writes probes_embedded.json

Both ask as many prompts a step, for as many steps, so that as many groups are informative but for
chance, each counting what it stands for. Nothing is tuned: learning rate and levels are the demo's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recorded import main

from mtgrpo.config import load_config
from mtgrpo.jobs.run import train
from mtgrpo.runlog import read_run

SEEDS = (0, 1)
STEPS, BATCH, GROUP = 30, 8, 32
KINDS = {"whole groups": "null", "auto": "auto", "n0 = 8, q = 1/4": "{size: 8, chance: 0.25}"}
RECORD = Path(__file__).with_suffix(".json")


def one_run(kind: str, seed: int, others: Sequence[str] = ()) -> dict[str, Any]:
    """What a run took and reached, and what its probes were.

    Args:
        kind: One of `KINDS`.
        seed: The run's.
        others: Further changes to the demo's configuration.
    """
    with tempfile.TemporaryDirectory() as folder:
        changes = [
            "preset=grpo_fair",
            f"sampler.probes={KINDS[kind]}",
            f"seed={seed}",
            f"steps={STEPS}",
            f"batch_size={BATCH}",
            f"group_size={GROUP}",
            f"output={folder}/run",
            "evaluation={every: 0, samples_per_prompt: 2, prompts_per_task: 200}",
            *others,
        ]
        train(load_config("demo", changes))
        run = read_run(f"{folder}/run")

    tasks: dict[str, Any] = {}
    for task in run.tasks:
        generated = column(run, task, "num_generated").sum()
        tasks[task] = {
            "accuracy_before": run.evaluations[0].tasks[task].accuracy,
            "accuracy_after": run.evaluations[-1].tasks[task].accuracy,
            "acceptance": column(run, task, "num_informative").sum() / max(1.0, generated),
            "probe_size": column(run, task, "probe_size", GROUP).mean(),
            "probe_stages": column(run, task, "probe_stages").mean(),
            "probe_chance_wrong": column(run, task, "probe_chance_wrong", 1.0).mean(),
            "probe_chance_right": column(run, task, "probe_chance_right", 1.0).mean(),
            "steps_with_probes": float((column(run, task, "probe_stages") > 0).mean()),
        }

    return {"kind": kind, "seed": seed, "rollouts": run.metrics[-1].rollouts, "tasks": tasks}


def column(run: Any, task: str, name: str, otherwise: float = 0.0) -> Any:
    """A metric of a task, by step."""
    return np.array([line.values.get(f"task/{task}/{name}", otherwise) for line in run.metrics])


def read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_all(path: Path) -> None:
    done = {(run["kind"], run["seed"]) for run in read(path)}
    for seed in SEEDS:
        for kind in KINDS:
            if (kind, seed) not in done:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one_run(kind, seed)) + "\n")


def compare(runs: list[dict[str, Any]], names: Sequence[str] = tuple(KINDS)) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for kind in names:
        own = [run for run in runs if run["kind"] == kind]
        if not own:
            continue

        ends = [[task["accuracy_after"] for task in run["tasks"].values()] for run in own]
        kinds[kind] = {
            "seeds": len(own),
            "rollouts_per_step": round(float(np.mean([run["rollouts"] for run in own])) / STEPS, 1),
            "worst": [round(100 * min(end), 1) for end in ends],
            "mean": [round(100 * float(np.mean(end)), 1) for end in ends],
            "tasks": {
                name: {
                    key: round(float(np.mean([run["tasks"][name][key] for run in own])), 3)
                    for key in own[0]["tasks"][name]
                }
                for name in own[0]["tasks"]
            },
        }

    whole = kinds["whole groups"]["rollouts_per_step"]
    for figures in kinds.values():
        figures["times_fewer"] = round(whole / figures["rollouts_per_step"], 2)
    return {"steps": STEPS, "batch_size": BATCH, "group_size": GROUP, "kinds": kinds}


if __name__ == "__main__":
    main(__doc__, run_all, lambda runs: compare(read(runs)), RECORD)

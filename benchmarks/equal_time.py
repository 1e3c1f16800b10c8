"""Processor time of runs at equal rollouts: TRL's GRPOTrainer, and this library's trainer.

Whole runs of research/equal_cost/three_tasks_fair.yaml without their evaluations, one thread each:
`trl` is TRL's own trainer on the same rows, put together and shuffled, `grpo` and `grpo_fair` are
`mtgrpo train` with these presets. With the curves recorded beside that file (accuracies by
rollouts, five seeds; plain GRPO is the same method in both trainers) this says what a level costs.
Writes equal_time.json beside this file.

    python benchmarks/equal_time.py            # about five minutes on one idle core
    python benchmarks/equal_time.py --quick    # a few steps, nothing written
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import yaml
from datasets import Dataset
from machine import machine
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl.trainer.grpo_trainer import GRPOTrainer

from mtgrpo.config.loading import parse_config
from mtgrpo.core.types import Floats
from mtgrpo.evidence.results import StudyResults, load_results
from mtgrpo.integrations.trl.job import make_trainer
from mtgrpo.jobs.setup import prepare
from mtgrpo.tasks import TaskSet

STUDY = Path(__file__).parents[1] / "research" / "equal_cost" / "three_tasks_fair.yaml"
WAYS: tuple[str, ...] = ("trl", "grpo", "grpo_fair")
"""In each, the work of a step alone: no evaluation, no checkpoint."""


class Clock(TrainerCallback):
    """Processor time at the beginning of each step and at the end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.times.append(time.process_time())

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self.times.append(time.process_time())


def run(way: str, seed: int, steps: int) -> Floats:
    """Seconds of each policy update and what is generated for it; there are four a step."""
    base = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["base"]
    preset = {"preset": "grpo", "variant": "paper"} if way != "grpo_fair" else {"preset": way}

    with tempfile.TemporaryDirectory() as folder:
        quiet = {"evaluation": {"every": 0}, "checkpoint": {"every": 0}, "output": f"{folder}/run"}
        values = {**base, **preset, **quiet, "seed": seed, "steps": steps}
        job = prepare(parse_config(values, STUDY.name))
        trainer: Any = make_trainer(job.run, job.model, job.tasks, job.trl)
        if way == "trl":
            trainer = plain_trainer(trainer.args, job.model, job.tasks, seed)

        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()

    return np.diff(clock.times)


def plain_trainer(args: Any, model: str, tasks: TaskSet, seed: int) -> GRPOTrainer:
    """What a script has: one dataset of all rows, one reward function."""
    rows = [
        {"prompt": row["prompt"], "task": task.name, "row": i}
        for task in tasks
        for i, row in enumerate(task.train)
    ]

    def reward(completions: list[Any], task: list[str], row: list[int], **others: Any) -> list[Any]:
        rewards: list[float | None] = [None] * len(completions)
        for name in dict.fromkeys(task):
            places = [i for i, t in enumerate(task) if t == name]
            asked = [tasks[name].train[row[i]] for i in places]
            scores = tasks[name].score(asked, [completions[i] for i in places])
            for i, score in zip(places, scores, strict=True):
                rewards[i] = score.reward
        return rewards

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list(rows).shuffle(seed=seed),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def costs_of_levels(totals: dict[str, float]) -> dict[str, Any]:
    """What it takes to plain GRPO's final worst and mean accuracy, by the recorded mean curves."""
    results = load_results(STUDY.with_suffix(".json"))
    curves = {method: mean_curve(results, method) for method in ("grpo", "grpo_fair")}

    levels: dict[str, Any] = {}
    for which, name in ((1, "worst"), (2, "mean")):
        level = curves["grpo"][which][-1]
        parts: dict[str, float] = {}
        for way in WAYS:
            rollouts, *columns = curves["grpo_fair" if way == "grpo_fair" else "grpo"]
            reached = np.flatnonzero(columns[which - 1] >= level)
            if len(reached):
                part = rollouts[reached[0]] / rollouts[-1]
                parts[way] = round(part * totals[way] / totals["trl"], 3)
        levels[f"{name} of {100 * level:.1f} %"] = parts

    return levels


def mean_curve(results: StudyResults, method: str) -> tuple[Floats, Floats, Floats]:
    """Rollouts, worst and mean accuracy of a method, means over its seeds; shape (T,) each."""
    runs = results.of(method)
    worst = np.mean([run.worst for run in runs], axis=0)
    mean = np.mean([run.mean for run in runs], axis=0)
    return runs[0].rollouts, worst, mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, write nothing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)

    # There and back, as a machine with other work is not equally fast all the time.
    steps, order = (5, WAYS) if quick else (180, (*WAYS, *reversed(WAYS)))
    totals = dict.fromkeys(WAYS, 0.0)
    for i, way in enumerate(order):
        totals[way] += float(run(way, i // len(WAYS), steps).sum())
        print(f"{way}: {totals[way]:.1f} s", flush=True)

    result = {
        "steps": steps,
        "runs": len(order) // len(WAYS),
        "processor_s": {way: round(total, 2) for way, total in totals.items()},
        "of_trl": {way: round(total / totals["trl"], 3) for way, total in totals.items()},
    }
    if not quick:
        result["processor_time_to_levels_of_trl"] = costs_of_levels(totals)

    print(json.dumps(result, indent=2))
    if quick:
        return

    about = {
        "what": "processor seconds of whole runs of 11,520 rollouts, one thread; and to plain GRPO's final accuracies, as parts of what TRL's trainer takes for "
        "the run: rollouts by the mean curves of research/equal_cost/three_tasks_fair.json, times "
        "processor time a rollout here",
        **machine(),
    }
    text = json.dumps({"about": about, **result}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

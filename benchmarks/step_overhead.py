"""What a step of MultiTaskGRPOTrainer costs beside TRL's GRPOTrainer doing exactly the same work.

Uniform weights and no filter: both trainers roll out the same prompts and end with the same
parameters, bit for bit. Short runs of the two alternate in one process. Writes step_overhead.json
beside this file.

python benchmarks/step_overhead.py            # about two minutes on one CPU thread
python benchmarks/step_overhead.py --quick    # one pair of runs, nothing written
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from machine import machine
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from mtgrpo import Method, RatioPreservingSampler, Uniform, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import TaskSet

NUM_STEPS = 10
NUM_WARM_UP = 2
PROMPTS, COMPLETIONS, LENGTH = 16, 8, 16


class Clock(TrainerCallback):
    """Wall and CPU time from one step's start to the next: everything that TRL's loop does."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def steps(self) -> list[tuple[float, float]]:
        pairs = list(pairwise(self.times))[NUM_WARM_UP:]
        return [(b[0] - a[0], b[1] - a[1]) for a, b in pairs]


class Recording(MultiTaskGRPOTrainer):
    """Keeps the prompts of every round, for the other trainer to roll out."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.plans: list[tuple[str, int]] = []
        self.rolls_out, self.engine.roll_out = self.engine.roll_out, self.roll_out

    def roll_out(self, plan: Any, first_uid: int) -> Any:
        self.plans.extend(plan)
        return self.rolls_out(plan, first_uid)


def config(folder: str, **changes: Any) -> GRPOConfig:
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=PROMPTS * COMPLETIONS,
        num_generations=COMPLETIONS,
        max_completion_length=LENGTH,
        max_steps=NUM_STEPS + NUM_WARM_UP + 1,
        logging_steps=1,
        learning_rate=1e-5,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **changes,
    )


def parts() -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left")
    return {
        "model": AutoModelForCausalLM.from_pretrained(tiny.model_path()),
        "processing_class": tokenizer,
    }


def run_ours(folder: str, tasks: TaskSet) -> tuple[Clock, Any]:
    clock = Clock()
    sampler = RatioPreservingSampler(group_filter="none")

    trainer = Recording(
        tasks=tasks,
        args=config(folder),
        method=Method(Uniform(), sampler),
        skip_zero_advantages=False,  # the same work, row for row
        callbacks=[clock],
        **parts(),
    )

    trainer.remove_callback(PrinterCallback)
    trainer.train()

    return clock, trainer


def run_plain(folder: str, tasks: TaskSet, plan: list[tuple[str, int]]) -> tuple[Clock, Any]:
    rows = [{**tasks[task].train[i], "task": task, "row": i} for task, i in plan]
    columns = sorted({name for row in rows for name in row})
    padded = [{name: row.get(name) for name in columns} for row in rows]

    def reward(completions, task, row, **others):
        rewards = [0.0] * len(completions)

        for name in dict.fromkeys(task):
            places = [i for i, t in enumerate(task) if t == name]
            rows_of_task = [tasks[name].train[row[i]] for i in places]
            scores = tasks[name].score(rows_of_task, [completions[i] for i in places])

            for i, score in zip(places, scores, strict=True):
                rewards[i] = score.reward

        return rewards

    clock = Clock()

    trainer = GRPOTrainer(
        reward_funcs=reward,
        args=config(folder, shuffle_dataset=False),
        train_dataset=Dataset.from_list(padded),
        callbacks=[clock],
        **parts(),
    )

    trainer.remove_callback(PrinterCallback)
    trainer.train()

    return clock, trainer


def check_same_work(ours: Any, plain: Any) -> None:
    """The two models have the same parameters."""
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b), "the two trainers did not do the same work"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one pair of runs, write nothing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tasks = TaskSet(*(tiny.tiny_task(family, "medium") for family in tiny.FAMILIES))
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 if quick else 6):
            clock, ours = run_ours(folder, tasks)
            times["ours"] += clock.steps()
            clock, plain = run_plain(folder, tasks, ours.plans)
            times["plain"] += clock.steps()
            check_same_work(ours.model, plain.model)

    result: dict[str, float] = {}

    for which, name in enumerate(("wall", "cpu")):
        ours_s = statistics.median(step[which] for step in times["ours"])
        plain_s = statistics.median(step[which] for step in times["plain"])
        result[f"ours_{name}_s"] = ours_s
        result[f"plain_{name}_s"] = plain_s
        result[f"{name}_ratio"] = ours_s / plain_s

    result = {name: round(value, 4) for name, value in result.items()}
    print(json.dumps(result, indent=2))

    if quick:
        return

    about = {
        "what": "medians over steps of MultiTaskGRPOTrainer and GRPOTrainer doing the same work; "
        f"one thread, embedded model, {PROMPTS} prompts x {COMPLETIONS} completions of at most "
        f"{LENGTH} tokens; cpu is the fairer figure on a machine with other work",
        "num_steps": len(times["ours"]),
        **machine(),
    }

    text = json.dumps({"about": about, **result}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

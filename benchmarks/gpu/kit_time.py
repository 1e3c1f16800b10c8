"""(b) Seconds a step at equal rollouts: TRL's GRPOTrainer, ours with and without rows of no gradient, both samplers."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from kit_common import Record, dataset_of, model_of, reward_of, run_of, tasks_of, trl_arguments
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

WARM_UP = 2
WAYS: dict[str, tuple[tuple[str, ...], bool] | None] = {
    "TRL": None,
    "ours, all rows": (("preset=grpo",), False),
    "ours, rows with a gradient": (("preset=grpo",), True),
    "ours, one round": (("preset=balanced", "sampler={rounds: one}"), True),
    "ours, refill": (("preset=balanced",), True),
}
"""Changes to the configuration, and whether rows of no gradient are left out; None is TRL's class."""


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())

    on_train_begin = on_step_end


def run(args: argparse.Namespace) -> int:
    record = Record(args)
    rounds = 1 if args.rehearse else 3
    for repeat in range(rounds):  # ways alternate, so that a slow minute does not fall on one
        for way in WAYS:
            record.measure(f"{way} #{repeat}", lambda way=way: timed(args, way), 60)
    return 0


def timed(args: argparse.Namespace, way: str) -> dict[str, Any]:
    """Median seconds of a step, and rollouts of a step."""
    steps = 3 if args.rehearse else 12
    method = WAYS[way]
    run = run_of(args, *(("preset=grpo",) if method is None else method[0]))
    tasks = tasks_of(run)
    clock = Clock()

    given: dict[str, Any] = {
        "args": GRPOConfig(**trl_arguments(args, run, max_steps=steps)),
        "callbacks": [clock],
    }
    model = AutoModelForCausalLM.from_pretrained(model_of(run), dtype=dtype_of())
    if method is None:
        trainer: Any = GRPOTrainer(
            model,
            reward_funcs=reward_of(tasks),
            train_dataset=dataset_of(tasks, run.batch_size * steps),
            **given,
        )
    else:
        trainer = MultiTaskGRPOTrainer(
            model,
            tasks=tasks,
            method=run.method,
            skip_zero_advantages=method[1],
            **given,
        )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    seconds = [b - a for a, b in zip(clock.marks, clock.marks[1:], strict=False)]
    rollouts = run.batch_size * run.group_size
    if method is not None:
        rollouts = round(trainer.num_rollouts / steps)
    return {
        "step_s": round(statistics.median(seconds[WARM_UP:]), 4),
        "rollouts": rollouts,
        "steps": steps - WARM_UP,
    }


def dtype_of() -> str:
    return "bfloat16" if torch.cuda.is_available() else "float32"

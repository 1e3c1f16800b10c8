"""What the parts share: records that grow, the time limit, the model, the rows, TRL's arguments."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset

from mtgrpo.config import ResolvedRun, load_config
from mtgrpo.jobs.named_models import make_model, model_place
from mtgrpo.tasks import TaskSet, build_tasks

TINY = ["model=tiny", "group_size=4", "batch_size=4", "learning_rate=1e-4", "peft=null", "trl={}"]
TINY_TASKS = [{"tiny": "zebra", "level": "easy"}, {"tiny": "countdown", "level": "easy"}]


class Record:
    """Measurements of a part, in a file that is whole after each.

    Args:
        args: The command line's.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.path = args.out / f"{args.part}.json"
        self.rehearsal = args.rehearse
        self.ends = time.monotonic() + args.limit
        self.values: dict[str, Any] = {}
        if self.path.is_file():
            self.values = json.loads(self.path.read_text())["measurements"]

    @property
    def left_s(self) -> float:
        """Seconds before the limit."""
        return self.ends - time.monotonic()

    def measure(self, name: str, work: Callable[[], Any], needs_s: float = 0.0) -> bool:
        """Do it unless it is done, or no time is left; returns whether it is there.

        Args:
            name: Of the measurement.
            work: Returns plain values.
            needs_s: It is not begun with less time left.
        """
        if name in self.values:
            print(f"{name}: there already")
            return True
        if self.left_s <= needs_s:
            print(f"{name}: no time left; call again")
            return False

        start = time.monotonic()
        value = work()
        seconds = round(time.monotonic() - start, 2)
        self.values[name] = {**value, "took_s": seconds}
        self.write()
        print(f"{name}: {json.dumps(self.values[name])}")
        return True

    def write(self) -> None:
        record = {"machine": machine(self.rehearsal), "measurements": self.values}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(record, indent=2) + "\n")
        part.replace(self.path)


def machine(rehearsal: bool) -> dict[str, Any]:
    """What it was measured on, the card's name first."""
    packages = ("torch", "transformers", "trl", "accelerate", "peft")
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: CPU"
    return {
        "card": card,
        "rehearsal": rehearsal,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def run_of(args: argparse.Namespace, *changes: str) -> ResolvedRun:
    """The demo's run with these changes; of the rehearsal, on the embedded model."""
    if not args.rehearse:
        return load_config("smollm2_demo", changes)

    tasks = f"tasks={json.dumps(TINY_TASKS)}"
    evaluation = "evaluation={prompts_per_task: 2, samples_per_prompt: 2}"
    return load_config("smollm2_demo", [*TINY, tasks, evaluation, *changes])


def model_of(run: ResolvedRun) -> str:
    """The directory of its model, made if need be."""
    make_model(run.model)
    return model_place(run.model)


def tasks_of(run: ResolvedRun) -> TaskSet:
    return TaskSet(*build_tasks(run.tasks, "tasks"))


def dataset_of(tasks: TaskSet, rows_per_task: int) -> Dataset:
    """Rows of all tasks in turn, as a script with TRL would have them."""
    rows: list[dict[str, Any]] = []
    for index in range(rows_per_task):
        for task in tasks:
            rows.append({"prompt": task.train[index]["prompt"], "source": task.name, "row": index})
    return Dataset.from_list(rows)


def reward_of(tasks: TaskSet) -> Callable[..., list[float]]:
    """The tasks' rewards as one function for TRL."""

    def reward(completions: Any, source: Any, row: Any, **_: Any) -> list[float]:
        scores: list[float] = []
        for completion, name, index in zip(completions, source, row, strict=True):
            scores += [
                score.reward
                for score in tasks[name].score([tasks[name].train[index]], [completion])
            ]
        return scores

    return reward


def trl_arguments(args: argparse.Namespace, run: ResolvedRun, **changes: Any) -> dict[str, Any]:
    """TRL's arguments of a run of so many steps, without saving and reports."""
    on_cpu = not torch.cuda.is_available()
    values = {
        "output_dir": str(args.work / "trainer"),
        "per_device_train_batch_size": run.batch_size * run.group_size,
        "num_generations": run.group_size,
        "max_completion_length": run.max_completion_length,
        "learning_rate": run.learning_rate,
        "lr_scheduler_type": "constant",
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    return {**values, **changes}

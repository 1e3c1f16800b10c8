"""The parts of `scaling.py` with the real trainer: many tasks, and what its processes tell each other.

Run by `scaling.py`; each of two gloo processes runs `python benchmarks/scaling_trainer.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from scaling_core import GROUP_SIZE, PROCESSES, peak_mb
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOConfig

from mtgrpo import tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer, agreement, slots, step
from mtgrpo.runlog import RunLog
from mtgrpo.tasks import Task, TaskSet

HERE = Path(__file__)
BATCH_SIZE = 32
COMPLETION = 32
ENVIRONMENT = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class Clock(TrainerCallback):
    """CPU time at the start of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.times.append(time.process_time())


def config(folder: str, num_steps: int, processes: int) -> GRPOConfig:
    """32 prompts x 8 completions."""
    return GRPOConfig(
        folder,
        per_device_train_batch_size=BATCH_SIZE * GROUP_SIZE // processes,
        num_generations=GROUP_SIZE,
        max_completion_length=COMPLETION,
        max_steps=num_steps,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )


def model_and_tokenizer() -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(tiny.model_path())
    return {"model": model, "processing_class": tokenizer}


def whole_trainer(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """Steps of the trainer on the embedded model; with more tasks only the bookkeeping grows."""
    torch.set_num_threads(1)
    pattern = tiny.tiny_tasks(families=["countdown"], levels=["easy"])[0]
    tasks = [Task(f"task-{i}", pattern.train, [], pattern.reward) for i in range(num_tasks)]
    clock = Clock()

    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        task_set = TaskSet(*tasks)
        trainer = MultiTaskGRPOTrainer(
            tasks=task_set,
            args=config(folder, num_steps, 1),
            run_log=RunLog.create(Path(folder, "run"), task_set.names),
            callbacks=[clock],
            share_prompts=True,
            **model_and_tokenizer(),
        )
        trainer.remove_callback(PrinterCallback)
        building = time.process_time() - started

        trainer.train()
        logged = Path(folder, "run", "metrics.jsonl").stat().st_size

    step_times = [b - a for a, b in itertools.pairwise(clock.times[1:])]

    return {
        "num_tasks": num_tasks,
        "build_s": round(building, 2),
        "step_s": round(statistics.median(step_times), 3),
        "logged_bytes_per_step": logged // num_steps,
        "peak_mb": round(peak_mb(), 1),
    }


def talk(num_steps: int) -> dict[str, Any]:
    """Bytes that a process sends in a step, by purpose: two gloo processes, groups of unequal luck."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]

    with tempfile.TemporaryDirectory() as folder:
        command = [*launcher, "--nproc_per_node", f"{PROCESSES}", HERE, f"{num_steps}", folder]
        subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True)

        return json.loads(Path(folder, "talk.json").read_text(encoding="utf-8"))


class Tap:
    """Counts what a trainer's process sends, by purpose."""

    def __init__(self, trainer: MultiTaskGRPOTrainer) -> None:
        self.bytes: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._purpose = "TRL's and accelerate's own gathers"
        self._gather = trainer.accelerator.gather
        self._agree = agreement.check_agreement
        self._move = slots.gather_object

        trainer.accelerator.gather = self.gather
        step.check_agreement = self.check_agreement
        slots.gather_object = self.gather_object

    def gather(self, tensor: Any) -> Any:
        self._count(self._purpose, tensor.numel() * tensor.element_size())
        return self._gather(tensor)

    def check_agreement(self, *args: Any) -> None:
        usual, self._purpose = self._purpose, "digests of decisions"
        self._agree(*args)
        self._purpose = usual

    def gather_object(self, rows: Any) -> Any:
        self._count("groups that move between processes", len(pickle.dumps(rows)))
        self._count("groups moved (number, not bytes)", len(rows))
        return self._move(rows)

    def _count(self, name: str, size: int) -> None:
        self.bytes[name] += size
        self.calls[name] += 1


def talk_here(num_steps: int, folder: str) -> None:
    """One process of `talk`."""
    torch.set_num_threads(1)
    trainer = MultiTaskGRPOTrainer(
        tasks=TaskSet(*tiny.tiny_tasks()),
        args=config(folder, num_steps, PROCESSES),
        **model_and_tokenizer(),
    )
    tap = Tap(trainer)
    trainer.train()

    if trainer.is_world_process_zero():
        rounds = [e["sampler/rounds"] for e in trainer.state.log_history if "sampler/rounds" in e]
        parameters = sum(p.numel() * p.element_size() for p in trainer.model.parameters())

        result = {
            "processes": PROCESSES,
            "batch_size": BATCH_SIZE,
            "group_size": GROUP_SIZE,
            "max_completion_length": COMPLETION,
            "steps": num_steps,
            "rounds_per_step": statistics.mean(rounds),
            "bytes_per_step": _per_step(tap.bytes, num_steps, digits=1),
            "calls_per_step": _per_step(tap.calls, num_steps, digits=2),
            "gradient_bytes_per_step": parameters,
        }
        Path(folder, "talk.json").write_text(json.dumps(result), encoding="utf-8")

    torch.distributed.destroy_process_group()


def _per_step(counts: Counter[str], num_steps: int, digits: int) -> dict[str, float]:
    return {name: round(count / num_steps, digits) for name, count in sorted(counts.items())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_steps", type=int)
    parser.add_argument("folder")
    given = parser.parse_args()
    talk_here(given.num_steps, given.folder)

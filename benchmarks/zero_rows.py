"""What leaving out rows of zero advantage saves, beside TRL's GRPOTrainer on the same rows.

In a share of the groups all completions are rewarded alike; in the others every second one is right. Both trainers draw
the same completions and end with the same parameters, up to rounding. Short runs of the two alternate in one process;
processor time is counted, so that other work on the machine does not matter much. Writes zero_rows.json beside this file.

python benchmarks/zero_rows.py            # about five minutes on one CPU thread
python benchmarks/zero_rows.py --quick    # one pair of runs, nothing written
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
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

from mtgrpo import tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9375)
NUM_STEPS, NUM_WARM_UP, NUM_PAIRS = 4, 1, 5
PROMPTS, COMPLETIONS, LENGTH, PASSES = 16, 8, 32, 4


class Clock(TrainerCallback):
    """CPU time of each step, and of its forward and backward passes."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.passes: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.starts.append(time.process_time())
        self.passes.append(0.0)

    def count(self, owner: Any, name: str) -> None:
        """From now on the calls of a method count as passes."""
        method: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.passes[-1] += time.process_time() - started

        setattr(owner, name, counted)

    def steps(self) -> list[tuple[float, float]]:
        """Seconds of each whole step and of its passes, after the warm-up."""
        wholes = [b - a for a, b in pairwise(self.starts)]
        return list(zip(wholes, self.passes[:-1], strict=True))[NUM_WARM_UP:]


def right(completions: list[str], varies: list[bool], **columns: Any) -> list[float]:
    """Every second completion of a prompt that varies."""
    return [float(one and i % 2 == 0) for i, one in enumerate(varies)]


def dataset(share: float) -> Dataset:
    """Prompts of which in each generation batch this share has constant rewards."""
    task = tiny.tiny_task(tiny.FAMILIES[0], "medium")
    constant = round(share * PROMPTS)
    rows = [
        {"prompt": task.train[i]["prompt"], "varies": i % PROMPTS >= constant}
        for i in range(PROMPTS * (NUM_STEPS + NUM_WARM_UP + 1))
    ]
    return Dataset.from_list(rows)


def run(cls: type, folder: str, share: float) -> tuple[list[tuple[float, float]], Any]:
    clock = Clock()
    trainer = cls(
        model=AutoModelForCausalLM.from_pretrained(tiny.model_path()),
        reward_funcs=right,
        args=GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=PROMPTS * COMPLETIONS // PASSES,
            gradient_accumulation_steps=PASSES,
            num_generations=COMPLETIONS,
            max_completion_length=LENGTH,
            max_steps=NUM_STEPS + NUM_WARM_UP + 1,
            learning_rate=1e-3,
            optim="sgd",
            shuffle_dataset=False,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=dataset(share),
        callbacks=[clock],
        processing_class=AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left"),
    )
    trainer.remove_callback(PrinterCallback)
    clock.count(trainer, "compute_loss")
    clock.count(trainer.accelerator, "backward")
    trainer.train()

    return clock.steps(), trainer.model


def check_same_work(ours: Any, plain: Any) -> None:
    """The two models have the same parameters, up to rounding."""
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def measure(share: float, num_pairs: int) -> dict[str, float]:
    """Medians over steps, in seconds, and their ratios."""
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "trl": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(num_pairs):
            steps, ours = run(MultiTaskGRPOTrainer, folder, share)
            times["ours"] += steps
            steps, plain = run(GRPOTrainer, folder, share)
            times["trl"] += steps
            check_same_work(ours, plain)

    result: dict[str, float] = {"constant_groups": share}
    for which, name in enumerate(("step", "passes")):
        for trainer, steps in times.items():
            result[f"{trainer}_{name}_s"] = statistics.median(step[which] for step in steps)
        result[f"{name}_ratio"] = result[f"ours_{name}_s"] / result[f"trl_{name}_s"]

    return {name: round(value, 4) for name, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one pair of runs, write nothing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    rows = []
    for share in (0.5,) if quick else SHARES:
        rows.append(measure(share, 1 if quick else NUM_PAIRS))
        print(json.dumps(rows[-1]), flush=True)
    if quick:
        return

    about = {
        "what": "median CPU seconds of a step, and of its forward and backward passes, of "
        "MultiTaskGRPOTrainer and GRPOTrainer on the same rows, by the share of groups whose "
        f"rewards are constant; one thread, embedded model, {PROMPTS} prompts x {COMPLETIONS} "
        f"completions of at most {LENGTH} tokens, {PASSES} passes a step",
        "num_steps": NUM_PAIRS * NUM_STEPS,
        **machine(),
    }
    text = json.dumps({"about": about, "rows": rows}, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""(c) SmolLM2 on the demo's four tasks, plain GRPO and grpo_fair, seed after seed, by the command line."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from kit_common import TINY, TINY_TASKS, Record

PRESETS = ("grpo", "grpo_fair")
SEEDS = (0, 1, 2)
STEPS = 150


def run(args: argparse.Namespace) -> int:
    record = Record(args)
    for seed in SEEDS[: 1 if args.rehearse else None]:
        for preset in PRESETS:
            name = f"{preset} seed {seed}"
            if name in record.values:
                continue
            if record.left_s < 20:
                print(f"{name}: no time left; call again")
                return 0

            out = args.work / "runs" / name.replace(" ", "-")
            train(args, out, preset, seed, record.left_s)
            summary = finished(out)
            keep(out, args.out, name)
            if summary is None:
                print(f"{name}: goes on with the next call")
                return 0
            record.measure(name, lambda summary=summary: summary)
    return 0


def command(args: argparse.Namespace, out: Path, preset: str, seed: int) -> list[str]:
    changes = [f"preset={preset}", f"seed={seed}", f"steps={STEPS}", "batch_size=32"]
    changes += ["checkpoint={every: 10, keep: 1}"]
    if torch.cuda.is_available():
        changes += ["evaluation={every: 25, samples_per_prompt: 4, prompts_per_task: 100}"]
    if args.rehearse:
        changes += [*TINY, f"tasks={json.dumps(TINY_TASKS)}", "steps=2", "checkpoint={every: 1}"]
        changes += ["evaluation={prompts_per_task: 2, samples_per_prompt: 2}"]

    words = [sys.executable, "-m", "mtgrpo", "train", "smollm2_demo", "--resume"]
    for change in changes:
        words += ["--set", change]
    return [*words, "--output", str(out)]


def train(args: argparse.Namespace, out: Path, preset: str, seed: int, limit_s: float) -> None:
    """Train until it is done or the time is up; it then ends after the step that is going on."""
    process = subprocess.Popen(command(args, out, preset, seed))
    try:
        process.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def finished(out: Path) -> dict[str, Any] | None:
    """The run's summary once it is finished."""
    path = out / "summary.json"
    if not path.is_file():
        return None

    summary = json.loads(path.read_text())
    if summary["status"] != "finished":
        return None
    keys = ("accuracy_before", "accuracy_after", "steps", "rollouts", "elapsed_s")
    return {key: summary[key] for key in keys if key in summary}


def keep(run: Path, out: Path, name: str) -> None:
    """The run's evaluations and metrics beside the records."""
    for file in ("evaluations.jsonl", "metrics.jsonl"):
        if (run / file).is_file():
            shutil.copy(run / file, out / f"{name.replace(' ', '-')}-{file}")

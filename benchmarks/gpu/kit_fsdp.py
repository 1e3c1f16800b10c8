"""(e) One process under FSDP by accelerate, and the same run resumed from its checkpoint."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from kit_common import TINY, TINY_TASKS, Record

STEPS = 4


def run(args: argparse.Namespace) -> int:
    record = Record(args)
    if not torch.cuda.is_available() and not args.rehearse:
        print("fsdp: no GPU here")
        return 1
    record.measure("one process", lambda: sharded(args), 120)
    return 0


def sharded(args: argparse.Namespace) -> dict[str, Any]:
    out = args.work / "fsdp"
    shutil.rmtree(out, ignore_errors=True)
    first = launch(args, out, STEPS // 2)
    second = launch(args, out, STEPS) if first["code"] == 0 else {}
    lines = out / "metrics.jsonl"
    return {
        "first_half": first,
        "resumed": second,
        "steps_logged": len(lines.read_text().splitlines()) if lines.is_file() else 0,
    }


def launch(args: argparse.Namespace, out: Path, steps: int) -> dict[str, Any]:
    """Train up to a step in a process of its own."""
    changes = [f"steps={steps}", "peft=null", "batch_size=8", f"checkpoint={{every: {STEPS // 2}}}"]
    changes += ["evaluation={prompts_per_task: 4, samples_per_prompt: 2}"]
    if args.rehearse:
        changes += [*TINY, f"tasks={json.dumps(TINY_TASKS)}"]

    words = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"]
    words += ["--num_machines", "1", "--use_fsdp", "--fsdp_version", "1"]
    words += ["--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP", "--mixed_precision", "no"]
    words += ["--fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer", "--dynamo_backend", "no"]
    words += ["-m", "mtgrpo", "train", "smollm2_demo", "--resume", "--output", str(out)]
    for change in changes:
        words += ["--set", change]

    done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ), timeout=400)
    said = (done.stdout + done.stderr).splitlines()
    errors = [line.strip() for line in said if "rror: " in line]
    return {"code": done.returncode, "errors": errors[:5] if done.returncode else []}

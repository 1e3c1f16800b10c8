"""(d) Peak memory of a step against the dry run's estimate: all weights or an adapter, 32 or 16 bits."""

from __future__ import annotations

import argparse
import gc
import resource
import shutil
from typing import Any

import torch
from kit_common import Record, run_of

from mtgrpo.integrations.trl.job import make_trainer
from mtgrpo.jobs.memory import PROMPT_TOKENS
from mtgrpo.jobs.model_files import find_model
from mtgrpo.jobs.named_models import make_model
from mtgrpo.jobs.setup import prepare
from mtgrpo.plan import estimate_memory

LORA = "peft={r: 8, lora_alpha: 16, target_modules: [q_proj, k_proj, v_proj, o_proj]}"
WAYS = {
    "all weights, float32": ("peft=null", "float32"),
    "all weights, bfloat16": ("peft=null", "bfloat16"),
    "adapter, bfloat16": (LORA, "bfloat16"),
}
LENGTHS = (16, 512)
"""Completion lengths: memory grows with tokens."""


def run(args: argparse.Namespace) -> int:
    record = Record(args)
    for way in WAYS:
        for length in LENGTHS[: 1 if args.rehearse else None]:
            name = f"{way}, {length} tokens"
            record.measure(name, lambda w=way, n=length: peak(args, *WAYS[w], n), 60)
    return 0


def peak(args: argparse.Namespace, peft: str, dtype: str, length: int) -> dict[str, Any]:
    """Bytes at the top of two steps, and the estimate of the same."""
    out = args.work / "memory"
    shutil.rmtree(out, ignore_errors=True)
    options = f"trl={{model_init_kwargs: {{dtype: {dtype}}}, bf16: false}}"
    changes = ["steps=2", "preset=grpo", peft, options, f"max_completion_length={length}"]
    run = run_of(args, *changes, f"output={out}")
    make_model(run.model)
    job = prepare(run)

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer = make_trainer(job.run, tasks=job.tasks, model=job.model, arguments=job.trl)
    trainer.train()

    files = find_model(job.model)
    assert files is not None
    assert files.shape is not None
    shape = files.shape
    estimate = estimate_memory(
        num_parameters=shape.num_parameters,
        bytes_per_parameter=2 if "16" in dtype else 4,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        micro_batch_size=job.plan.micro_batch_size,
        sequence_length=PROMPT_TOKENS + length,
        completion_length=length,
    )
    measured = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        measured = torch.cuda.max_memory_allocated()
    return {
        "peak_bytes": measured,
        "of": "the card" if torch.cuda.is_available() else "the whole process, so far",
        "estimate_bytes": round(estimate.total),
        "rows": job.plan.micro_batch_size,
    }

"""Memory and hours of the paper's experiments on one and on eight GPUs: arithmetic, not measurement.

Batches, rollouts and memory are those that ``mtgrpo train CONFIG --dry-run`` works out. Hours follow from the rates
below, which are assumed until benchmarks/gpu/kit.py has measured them. Writes paper_plan.json beside this file:

    python benchmarks/gpu/paper_plan.py
    python benchmarks/gpu/paper_plan.py --decode-tokens-s 30000 --training-tflops 400     # measured ones
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun, load_config
from mtgrpo.jobs.memory import PROMPT_TOKENS
from mtgrpo.plan import GIB, Plan, estimate_memory, make_plan

DECODE_TOKENS_S = 20_000.0
"""Tokens a second that vLLM generates on one GPU with 3.09e9 parameters; in inverse proportion for others. Assumed."""
TRAINING_TFLOPS = 350.0
"""Of a forward and a backward pass on one GPU in 16 bits, an H100's 990 at 35 %. Assumed."""
LENGTHS = (500, 2_000)
"""Mean tokens of a completion; of the 4,096 that are allowed."""
ROUNDS = 1.5
"""Rounds of 3B prompts that a step takes, between the one it takes at least and the paper's ten."""
FLOPS_PER_PARAMETER = 8
"""Forward, backward and the forward pass again of gradient checkpointing: 2 + 4 + 2 for each token."""
ADAPTER_SHARE = 0.02
"""Of the parameters, in an adapter of rank 64 on all linear layers."""

CONFIGS = {
    "qwen_three_tasks": 8,
    "qwen_three_tasks_1gpu": 1,
    "qwen_nine_tasks": 8,
    "qwen_nine_tasks_1gpu": 1,
    "qwen_math_arc_science": 8,
    "qwen_math_arc_science_1gpu": 1,
}
SHARDED = {"qwen_math_arc_science"}
"""Launched with ZeRO stage 2: gradients and moments are spread over the processes."""


def memory_gib(run: ResolvedRun, plan: Plan, is_sharded: bool) -> dict[str, float]:
    """GiB on each card while it trains, and while it generates."""
    shape = run.model_shape
    assert shape is not None
    options = run.trl.get("model_init_kwargs") or {}
    bytes_each = 2 if "16" in str(options.get("dtype", "float32")) else 4
    estimate = estimate_memory(
        num_parameters=shape.num_parameters,
        bytes_per_parameter=bytes_each,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        micro_batch_size=plan.micro_batch_size,
        sequence_length=PROMPT_TOKENS + run.max_completion_length,
        completion_length=run.max_completion_length,
    )

    weights = bytes_each * shape.num_parameters
    trained = ADAPTER_SHARE if run.peft else 1.0
    shards = plan.world_size if is_sharded else 1
    gradients = trained * estimate.weights / 2 / shards
    moments = trained * estimate.optimizer / shards

    training = weights + gradients + moments + estimate.activations + estimate.logits
    engine = float(run.trl["vllm_gpu_memory_utilization"]) * 80e9
    return {
        "training": round(training / GIB, 1),
        "generating": round((weights + moments + engine) / GIB, 1),
    }


def hours(run: ResolvedRun, plan: Plan, args: argparse.Namespace, length: int) -> float:
    """Hours of all steps, evaluations left out."""
    shape = run.model_shape
    assert shape is not None
    num_gpus = plan.world_size
    rate = args.decode_tokens_s * 3.09e9 / shape.num_parameters

    generated = plan.min_rollouts * ROUNDS * length
    trained = plan.rows_per_step * (length + PROMPT_TOKENS)
    flops = trained * FLOPS_PER_PARAMETER * shape.num_parameters

    seconds = generated / rate / num_gpus + flops / (args.training_tflops * 1e12) / num_gpus
    return round(run.steps * seconds / 3600, 1)


def plan_of(name: str, num_gpus: int, args: argparse.Namespace) -> dict[str, Any]:
    run = load_config(name)
    plan = make_plan(run, world_size=num_gpus)
    return {
        "gpus": num_gpus,
        "steps": run.steps,
        "rows_per_step": plan.rows_per_step,
        "rollouts_per_step": plan.min_rollouts * ROUNDS,
        "gib_per_gpu": memory_gib(run, plan, name in SHARDED),
        "hours": {str(length): hours(run, plan, args, length) for length in LENGTHS},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--decode-tokens-s", type=float, default=DECODE_TOKENS_S)
    parser.add_argument("--training-tflops", type=float, default=TRAINING_TFLOPS)
    args = parser.parse_args()

    record = {
        "assumed": {
            "decode_tokens_s_of_3e9_parameters": args.decode_tokens_s,
            "training_tflops": args.training_tflops,
            "rounds_per_step": ROUNDS,
        },
        "runs": {name: plan_of(name, gpus, args) for name, gpus in CONFIGS.items()},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    for name, row in record["runs"].items():
        cells = [
            name,
            row["gpus"],
            row["gib_per_gpu"]["training"],
            row["gib_per_gpu"]["generating"],
        ]
        print("| " + " | ".join(map(str, [*cells, *row["hours"].values()])) + " |")


if __name__ == "__main__":
    main()

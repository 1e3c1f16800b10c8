"""Accelerator memory of a configuration, from the model's own configuration where it is at hand."""

from __future__ import annotations

from mtgrpo.config import ModelShape, ResolvedRun
from mtgrpo.plan import GIB, Plan, estimate_memory

PROMPT_TOKENS = 512
"""Tokens a prompt is taken to have: the paper's longest are about as long."""


def model_shape(model: str) -> ModelShape | None:
    """The shape of a model whose configuration is on this machine; None when it is not.

    Nothing is downloaded and no weights are loaded: the parameters are counted on the meta device.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError):
        return None
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    num_parameters = float(sum(p.numel() for p in skeleton.parameters()))
    return ModelShape(
        num_parameters, config.hidden_size, config.num_hidden_layers, config.vocab_size
    )


def describe_memory(config: ResolvedRun, plan: Plan, model: str) -> list[tuple[str, str]]:
    """Lines for the plan of a run: memory of one process, by use."""
    shape = model_shape(model) or config.model_shape
    if shape is None:
        return [
            (
                "estimate",
                f"unknown: {model} is not on this machine; give its model_shape in the configuration",
            )
        ]
    dtype = str((config.trl.get("model_init_kwargs") or {}).get("dtype", "float32"))
    memory = estimate_memory(
        num_parameters=shape.num_parameters,
        bytes_per_parameter=2 if "16" in dtype else 4,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        micro_batch_size=plan.micro_batch_size,
        sequence_length=PROMPT_TOKENS + config.max_completion_length,
        completion_length=config.max_completion_length,
    )
    return [
        ("parameters", f"{shape.num_parameters / 1e6:,.1f} M"),
        ("weights and gradients", _size(memory.weights)),
        ("AdamW moments", _size(memory.optimizer)),
        (
            "activations",
            f"{_size(memory.activations)} for {plan.micro_batch_size} sequences at full length",
        ),
        (
            "logits",
            f"{_size(memory.logits)} for {plan.micro_batch_size} completions at full length",
        ),
        (
            "total per process",
            f"{_size(memory.total)}, nothing sharded, generation engine not included (estimate)",
        ),
    ]


def _size(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB" if num_bytes >= GIB else f"{num_bytes / 2**20:.0f} MiB"

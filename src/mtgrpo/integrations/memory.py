"""Accelerator memory of a configuration, from the model's own configuration where it is at hand."""

from __future__ import annotations

from dataclasses import dataclass

from mtgrpo.config import RunConfig
from mtgrpo.plan import GIB, MemoryEstimate, Plan, estimate_memory


@dataclass(frozen=True)
class ModelShape:
    """The sizes that memory depends on."""

    num_parameters: float
    hidden_size: int
    num_layers: int
    vocab_size: int


def model_shape(model: str, num_parameters: float | None) -> ModelShape | None:
    """The shape of a model whose configuration is on this machine; None when it is not.

    No weights are loaded: the parameters are counted on the meta device.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError):
        return None
    if num_parameters is None:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config)
        num_parameters = float(sum(p.numel() for p in skeleton.parameters()))
    return ModelShape(num_parameters, config.hidden_size, config.num_hidden_layers, config.vocab_size)


def estimate(config: RunConfig, plan: Plan, shape: ModelShape, prompt_tokens: int) -> MemoryEstimate:
    """Memory of one training process without sharding."""
    dtype = str((config.trl.get("model_init_kwargs") or {}).get("dtype", "float32"))
    return estimate_memory(
        num_parameters=shape.num_parameters,
        bytes_per_parameter=2 if "16" in dtype else 4,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        micro_batch_size=plan.micro_batch_size,
        sequence_length=prompt_tokens + config.max_completion_length,
        completion_length=config.max_completion_length,
    )


def describe_memory(config: RunConfig, plan: Plan, model: str, prompt_tokens: int = 512) -> list[tuple[str, str]]:
    """Lines for the plan of a run."""
    shape = model_shape(model, config.num_parameters)
    if shape is None and config.num_parameters is None:
        return [("estimate", f"unknown: the configuration of {model} is not on this machine; set num_parameters")]
    if shape is None:
        states = 16 * (config.num_parameters or 0.0)
        return [
            ("weights, gradients, AdamW", f"{states / GIB:.1f} GiB in float32, over all processes that shard it"),
            ("activations, logits", f"unknown: the configuration of {model} is not on this machine"),
        ]
    memory = estimate(config, plan, shape, prompt_tokens)
    return [
        ("parameters", f"{shape.num_parameters / 1e6:,.1f} M"),
        ("weights and gradients", f"{memory.weights / GIB:.2f} GiB"),
        ("AdamW moments", f"{memory.optimizer / GIB:.2f} GiB"),
        ("activations", f"{memory.activations / GIB:.2f} GiB for {plan.micro_batch_size} sequences at full length"),
        ("logits", f"{memory.logits / GIB:.2f} GiB"),
        ("total per process", f"{memory.total / GIB:.2f} GiB without sharding, generation engine not included"),
    ]

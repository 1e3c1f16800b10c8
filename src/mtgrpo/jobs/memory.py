"""Accelerator memory of a run, in words."""

from __future__ import annotations

from mtgrpo.config import ModelShape, ResolvedRun
from mtgrpo.errors import counted
from mtgrpo.jobs.adapter_size import AdapterSize
from mtgrpo.plan import GIB, Plan, estimate_memory

PROMPT_TOKENS = 512
"""Tokens a prompt is taken to have: the paper's longest are about as long."""


def describe_memory(
    run: ResolvedRun,
    plan: Plan,
    model: str,
    shape: ModelShape | None,
    adapter: AdapterSize | None = None,
) -> list[tuple[str, str]]:
    """Lines for the plan of a run: memory of one process, by use.

    Args:
        run: The run.
        plan: Its batch arithmetic.
        model: Directory or hub name.
        shape: Shape of the model; None where it is not known.
        adapter: What of it is trained; None where that is all, or not known.
    """
    if shape is None:
        reason = f"{model} is not on this machine; give its model_shape in the configuration"
        return [("estimate", f"unknown: {reason}")]

    dtype = str((run.trl.get("model_init_kwargs") or {}).get("dtype", "float32"))
    memory = estimate_memory(
        num_parameters=shape.num_parameters,
        bytes_per_parameter=2 if "16" in dtype else 4,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        micro_batch_size=plan.micro_batch_size,
        sequence_length=PROMPT_TOKENS + run.max_completion_length,
        completion_length=run.max_completion_length,
        num_adapted=None if adapter is None else adapter.num_parameters,
    )

    rows = plan.micro_batch_size
    total = f"{_size(memory.total)}, nothing sharded, generation engine not included (estimate)"

    return [
        ("parameters", f"{shape.num_parameters / 1e6:,.1f} M"),
        *_describe_adapter(run, adapter),
        ("weights and gradients", _size(memory.weights)),
        ("AdamW moments", _size(memory.optimizer)),
        (
            "activations",
            f"{_size(memory.activations)} for {counted(rows, 'sequence')} at full length",
        ),
        ("logits", f"{_size(memory.logits)} for {counted(rows, 'completion')} at full length"),
        ("total per process", total),
    ]


def _describe_adapter(run: ResolvedRun, adapter: AdapterSize | None) -> list[tuple[str, str]]:
    if run.peft is None:
        return []
    if adapter is None:
        return [("adapter", "of unknown size; the figures below are those of training all weights")]

    matrices = counted(adapter.num_matrices, "matrix", "matrices")
    line = f"{adapter.num_parameters / 1e6:,.2f} M trained, beside {matrices} that stay as they are"
    if adapter.unused:
        line += f"; the model has no {', '.join(adapter.unused)}"
    return [("adapter", line)]


def _size(num_bytes: float) -> str:
    if num_bytes >= GIB:
        return f"{num_bytes / GIB:.1f} GiB"
    return f"{num_bytes / 2**20:.0f} MiB"

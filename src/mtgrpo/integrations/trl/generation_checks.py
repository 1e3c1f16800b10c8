"""Which settings of generation a task may have of its own under TRL. No torch here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mtgrpo.errors import ConfigError, counted
from mtgrpo.tasks.task import Task

logger = logging.getLogger(__name__)

NAMES = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_completion_length": ("max_new_tokens", "max_tokens", "max_length"),
}
"""Each setting's names in TRL's ``generation_kwargs``, which win over everything else."""


def check_generation(
    tasks: Iterable[Task],
    args: Mapping[str, Any],
    *,
    num_processes: int,
    calls: str = "",
) -> None:
    """Refuse settings of tasks that the engine cannot give them.

    Args:
        tasks: With their settings.
        args: TRL's arguments by name; what is left out is as TRL has it.
        num_processes: Processes of the run.
        calls: From `what_else_writes`.

    Raises:
        ConfigError: Names the task, the reason and the way out.
    """
    most = args.get("max_completion_length")
    why_not_own = {"temperature": _why_no_temperature(args), "top_p": _why_no_top_p(args)}

    for task in tasks:
        settings = task.generation
        if not settings:
            continue

        where = f"task {task.name!r}: generation"
        length = settings.max_completion_length
        if length is not None and most is not None and length > most:
            raise ConfigError(
                f"{where}.max_completion_length: {length}, the run's max_completion_length is "
                f"{most}; at most that is possible; lower the task's, or raise the run's"
            )

        reason = calls or _why_not_in_parts(args, num_processes) or _named_twice(settings, args)
        if reason:
            raise ConfigError(
                f"{where}: {settings.in_words()}; a task has no settings of its own here, because "
                f"{reason}; take generation out of the task"
            )

        for name, why_not in why_not_own.items():
            value = getattr(settings, name)
            if why_not and value not in (None, args.get(name, 1.0)):
                raise ConfigError(
                    f"{where}.{name}: {value:g}; a task has no {name} of its own here, because "
                    f"{why_not} take {name} out of the task's generation"
                )


def warn_about_nucleus(args: Mapping[str, Any]) -> None:
    """Say that TRL's correction for vLLM takes the run's own top-p below 1 for a mismatch."""
    top_p = args.get("top_p", 1.0)
    if _why_no_top_p(args) and top_p < 1:
        logger.warning(
            "args.top_p=%g with vLLM: its log-probabilities are those within the nucleus, which "
            "TRL's correction for the sampler takes for a mismatch: the longer a completion, the "
            "less it weighs; set vllm_importance_sampling_correction=False, or top_p=1.0",
            top_p,
        )


def what_else_writes(environments: Any, tools: Any, rollout_func: Any) -> str:
    """What else than the model writes completions, in words; empty if nothing does.

    Args:
        environments: TRL's ``environment_factory``, or whether there is one.
        tools: TRL's argument.
        rollout_func: TRL's argument.
    """
    if environments or tools:
        return "tools or environments write parts of completions"
    return "rollout_func generates" if rollout_func is not None else ""


def _why_not_in_parts(args: Mapping[str, Any], num_processes: int) -> str:
    """Why rows cannot be generated in several calls; empty if they can."""
    uses_vllm = args.get("use_vllm", False)
    is_server = uses_vllm and args.get("vllm_mode") == "server"
    parallel = args.get("vllm_tensor_parallel_size") or 1

    reasons = {
        "continuous batching generates": args.get("use_transformers_continuous_batching", False),
        f"vLLM's server generates for {counted(num_processes, 'process', 'processes')} in one "
        "call": is_server and num_processes > 1,
        f"vLLM generates for {parallel} processes in one call (vllm_tensor_parallel_size)": (
            uses_vllm and not is_server and parallel > 1
        ),
        "the model is sharded (fsdp)": args.get("fsdp"),
        "the model may be sharded (deepspeed)": args.get("deepspeed"),
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def _named_twice(settings: Any, args: Mapping[str, Any]) -> str:
    """Which setting TRL's ``generation_kwargs`` fix for all tasks, in words; else empty."""
    given = args.get("generation_kwargs") or {}
    for setting, names in NAMES.items():
        for name in names:
            if getattr(settings, setting) is not None and name in given:
                return f"generation_kwargs sets {name} for all of them"
    return ""


def _why_no_temperature(args: Mapping[str, Any]) -> str:
    """Why logits of single rows cannot be divided by another number; empty if they can."""
    reasons = {
        "use_liger_kernel fuses the head with one temperature for all;": args.get(
            "use_liger_kernel", False
        ),
        "torch_compile has one temperature for all;": args.get("torch_compile", False),
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def _why_no_top_p(args: Mapping[str, Any]) -> str:
    """Why rows of another nucleus would not weigh what they should; empty if they do."""
    if not args.get("use_vllm") or not args.get("vllm_importance_sampling_correction", True):
        return ""
    return (
        "vLLM's log-probabilities are those within the nucleus, which TRL's correction for the "
        "sampler takes for a mismatch: the longer a completion, the less it would weigh; set "
        "vllm_importance_sampling_correction=False, or"
    )

"""The opt-in to compute a prompt once for all its completions: in generation and in the loss."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mtgrpo.integrations.trl.fast_generation import sample, why_not_plain
from mtgrpo.integrations.trl.shared_prefix import shared_prefix

logger = logging.getLogger(__name__)


class PromptSharing:
    """Computes each prompt of a batch once, if it is `on`.

    Samples keep their distribution and log-probabilities differ by rounding; the draws of a seed
    are others.

    Attributes:
        on: Whether it is used.
    """

    def __init__(self) -> None:
        self.on = False

    def switch_on(self, trainer: Any) -> None:
        """Switch it on. Where it cannot work this says why, once, and everything stays TRL's own.

        Args:
            trainer: TRL's, complete.
        """
        reason = why_not_shared(trainer)
        self.on = not reason
        if reason:
            logger.warning("share_prompts: not used, because %s", reason)

    def generate(
        self, model: Any, prompt_ids: Sequence[Sequence[int]], settings: Any
    ) -> list[list[int]]:
        """The tokens of one completion per prompt.

        Args:
            model: Unwrapped model.
            prompt_ids: Token ids; equal neighbours are read once.
            settings: transformers' ``GenerationConfig``, as TRL makes it.
        """
        ends = settings.eos_token_id

        tokens, _ = sample(
            without_wrapper(model),
            prompt_ids,
            max_new_tokens=settings.max_new_tokens,
            eos_ids=ends if isinstance(ends, list) else [ends],
            pad_id=settings.pad_token_id,
            temperature=settings.temperature,
        )

        return tokens

    def prefix(
        self, model: Any, num_completion: int, accelerator: Any
    ) -> AbstractContextManager[None]:
        """Within it, forward passes of the model read equal prompts once; see `shared_prefix`."""
        if not self.on:
            return nullcontext()
        return shared_prefix(without_wrapper(accelerator.unwrap_model(model)), num_completion)


def why_not_shared(trainer: Any) -> str:
    """What keeps a trainer from sharing prompts; empty if nothing does."""
    args = trainer.args

    switches = {
        "vLLM generates": trainer.use_vllm,
        "continuous batching generates": trainer.use_transformers_continuous_batching,
        "rollout_func generates": trainer.rollout_func is not None,
        "there are tools": bool(trainer.tools) or trainer.environment_factories is not None,
        "the model reads images": trainer._is_vlm,
        "gradient_checkpointing is on": args.gradient_checkpointing,
        "torch_compile is on": args.torch_compile,
        "use_liger_kernel is on": args.use_liger_kernel,
        "the model is sharded": trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
        "cache_implementation is set": args.cache_implementation is not None,
    }
    for reason, is_so in switches.items():
        if is_so:
            return reason

    model = trainer.accelerator.unwrap_model(trainer.model)
    if any(getattr(part, "lora_dropout", 0.0) for part in _adapters(model)):
        return "the adapter has dropout, which differs from row to row"
    return why_not_plain(without_wrapper(model), trainer.generation_config)


def without_wrapper(model: Any) -> Any:
    """The model inside peft's wrapper, with the adapter's layers in it; any other model itself."""
    adapters = _adapters(model)
    if not adapters or any(part.is_prompt_learning for part in adapters):
        return model
    return model.get_base_model()


def _adapters(model: Any) -> list[Any]:
    """Configurations of peft's adapters in a model; none where it has no wrapper."""
    is_wrapped = hasattr(model, "peft_config") and hasattr(model, "get_base_model")
    return list(model.peft_config.values()) if is_wrapped else []

"""The opt-in of a trainer to compute a prompt once for all its completions: in generation and in the loss."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

from trl import GRPOTrainer

from mtgrpo.integrations.trl.fast_generation import sample, why_not_plain
from mtgrpo.integrations.trl.shared_prefix import shared_prefix

logger = logging.getLogger(__name__)


class PromptSharingTrainer(GRPOTrainer):
    """A GRPOTrainer that, if `shares_prompts`, computes each prompt of a batch once.

    Samples keep their distribution and log-probabilities differ by rounding; the draws of a seed are others.
    """

    accelerator: Any
    args: Any
    shares_prompts = False

    def share_prompts(self) -> None:
        """Switch it on. Where it cannot work this says why, once, and everything stays TRL's own."""
        reason = self._why_not_shared()
        self.shares_prompts = not reason
        if reason:
            logger.warning("share_prompts: not used, because %s", reason)

    def _why_not_shared(self) -> str:
        switches = {
            "vLLM generates": self.use_vllm,
            "continuous batching generates": self.use_transformers_continuous_batching,
            "rollout_func generates": self.rollout_func is not None,
            "there are tools": bool(self.tools) or self.environment_factories is not None,
            "the model reads images": self._is_vlm,
            "gradient_checkpointing is on": self.args.gradient_checkpointing,
            "torch_compile is on": self.args.torch_compile,
            "use_liger_kernel is on": self.args.use_liger_kernel,
            "the model is sharded": self.is_deepspeed_enabled or self.is_fsdp_enabled,
            "cache_implementation is set": self.args.cache_implementation is not None,
        }
        reasons = [reason for reason, is_so in switches.items() if is_so]
        if reasons:
            return reasons[0]
        return why_not_plain(self.accelerator.unwrap_model(self.model), self.generation_config)

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.shares_prompts:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)
        settings: Any = self.generation_config
        ends = settings.eos_token_id
        tokens, _ = sample(
            self.accelerator.unwrap_model(self.model),
            prompt_ids,
            max_new_tokens=settings.max_new_tokens,
            eos_ids=ends if isinstance(ends, list) else [ends],
            pad_id=settings.pad_token_id,
            temperature=settings.temperature,
        )
        return tokens, None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        once = nullcontext()
        if self.shares_prompts:
            once = shared_prefix(self.accelerator.unwrap_model(model), logits_to_keep)
        with once:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )

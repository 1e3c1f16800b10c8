"""Forward passes in which a prompt shared by several rows is computed once, gradients included."""

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast


@contextmanager
def shared_prefix(model: Any, num_completion: int) -> Iterator[None]:
    """Inside, the model's backbone computes equal prompts once, for all of their rows.

    The hidden states are those of the plain pass up to rounding. Head, log-probabilities and loss
    are not touched.

    Args:
        model: Unwrapped causal language model, see `fast_generation.has_plain_cache`.
        num_completion: Columns on the right that are completion; the columns before them are
            prompt.
    """
    backbone = model.base_model
    plain: Any = backbone.forward

    def forward(input_ids: Any = None, attention_mask: Any = None, **others: Any) -> Any:
        if input_ids is None or attention_mask is None or not _only_plain(others):
            return plain(input_ids=input_ids, attention_mask=attention_mask, **others)

        width = input_ids.shape[1] - num_completion
        prompts = torch.cat([input_ids[:, :width], attention_mask[:, :width]], 1)
        distinct, owner = torch.unique(prompts, dim=0, return_inverse=True)
        if width == 0 or 2 * len(distinct) > len(prompts):
            return plain(input_ids=input_ids, attention_mask=attention_mask, **others)

        cache: Any = DynamicCache(config=model.config)
        given: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        first: Any = plain(
            input_ids=distinct[:, :width], attention_mask=distinct[:, width:], **given
        ).last_hidden_state  # (distinct prompts, width, size)

        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[owner], layer.values[owner]
        rest: Any = plain(
            input_ids=input_ids[:, width:], attention_mask=attention_mask, **given
        ).last_hidden_state  # (rows, completion tokens, size)

        return BaseModelOutputWithPast(last_hidden_state=torch.cat([first[owner], rest], 1))

    backbone.forward = forward
    try:
        yield
    finally:
        del backbone.forward


def _only_plain(arguments: Mapping[str, Any]) -> bool:
    """Whether a forward pass is asked for nothing that a shared prompt could not give."""
    return all(
        name in ("use_cache", "return_dict") or value is None or value is False
        for name, value in arguments.items()
    )

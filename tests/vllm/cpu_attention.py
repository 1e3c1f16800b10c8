"""Tree attention for a CPU: TRL's asynchronous trainer packs its samples for a CUDA kernel, this computes the same."""

import torch
from torch.nn import functional


def tree_attention(
    module,
    query,
    key,
    value,
    attention_mask,
    *,
    tree_kv_index,
    tree_cu_seqlens_q,
    tree_cu_seqlens_k,
    scaling=None,
    **kwargs,
):
    """Each segment sees its path from the root, causally. Shapes (1, heads, tokens, size)."""
    num_tokens, repeats = query.size(2), query.size(1) // key.size(1)
    allowed = torch.zeros(num_tokens, num_tokens, dtype=torch.bool)
    starts, ends = tree_cu_seqlens_q.tolist(), tree_cu_seqlens_k.tolist()

    for segment in range(len(starts) - 1):
        path = tree_kv_index[ends[segment] : ends[segment + 1]]
        first, last = starts[segment], starts[segment + 1]
        sees = torch.ones(last - first, len(path), dtype=torch.bool)
        sees = sees.tril(diagonal=len(path) - (last - first))
        allowed[first:last, path] = sees

    key, value = (part.repeat_interleave(repeats, dim=1) for part in (key, value))
    out = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


def use_on_cpu(monkeypatch) -> None:
    import trl.experimental.async_grpo.async_grpo_trainer as trainer
    import trl.experimental.async_grpo.packing as packing

    monkeypatch.setattr(packing, "tree_attention", tree_attention)
    monkeypatch.setattr(trainer, "get_peak_flops_per_device", lambda *args: None)

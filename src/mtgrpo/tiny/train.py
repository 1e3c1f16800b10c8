"""The parts of the recipe that need torch: the untrained model, one training loop, one sampler."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mtgrpo.tiny.tokenizer import EOS, PAD, VOCABULARY

PAD_ID, EOS_ID = VOCABULARY.index(PAD), VOCABULARY.index(EOS)
_NUMBER_OF = {word: i for i, word in enumerate(VOCABULARY)}
_WORD = re.compile("|".join(map(re.escape, sorted(VOCABULARY[3:], key=len, reverse=True))))
Example = tuple[list[int], list[int]]
"""Tokens, and the weight of each in the loss: 0 where it is only read."""


def encode(text: str) -> list[int]:
    """The tokenizer's ids, without the tokenizer: thousands of examples are cut in each second of training."""
    return [_NUMBER_OF[word] for word in _WORD.findall(text)]


def new_model() -> LlamaForCausalLM:
    """The untrained model: 3 Llama layers of width 128, input and output embeddings shared."""
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
        bos_token_id=None,
        initializer_range=0.05,
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")  # the fastest on a CPU at this size
    return model


def fit(
    model: LlamaForCausalLM,
    batch: Callable[[int], Sequence[Sequence[Example]]],
    *,
    steps: int,
    matrix_lr: float,
    vector_lr: float,
    label: str,
    log_every: int = 100,
) -> None:
    """Train on next tokens with Muon for the matrices of the layers and AdamW for everything else.

    Args:
        model: Trained in place.
        batch: Gives the examples of a step in parts; each part is padded for itself.
        steps: Optimiser steps.
        matrix_lr: Muon's learning rate; rises for 50 steps, then falls to zero in a straight line.
        vector_lr: AdamW's, on the same schedule.
        label: Stands before each line of progress.
        log_every: Steps between two lines.
    """
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    taken = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in taken]
    optimizers = (
        torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=vector_lr, betas=(0.9, 0.98), weight_decay=0.0),
    )
    rates = (matrix_lr, vector_lr)
    device = model.device
    model.train()
    started, running = time.perf_counter(), 0.0
    for step in range(steps):
        scale = min((step + 1) / 50, (steps - step) / max(steps - 50, 1), 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * scale
        parts = batch(step)
        weight = sum(sum(weights) for part in parts for _, weights in part)
        for part in parts:
            loss = _loss(model, part, device) / weight
            loss.backward()
            running += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if (step + 1) % log_every == 0:
            seconds = time.perf_counter() - started
            print(
                f"{label} step {step + 1}/{steps} loss {running / log_every:.4f} {seconds:.0f} s",
                flush=True,
            )
            running = 0.0


def _loss(model: LlamaForCausalLM, part: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Weighted sum of the negative log-likelihoods of the tokens."""
    longest = max(len(tokens) for tokens, _ in part)
    tokens = torch.tensor([t + [PAD_ID] * (longest - len(t)) for t, _ in part], device=device)
    weights = torch.tensor(
        [w + [0] * (longest - len(w)) for _, w in part], device=device, dtype=torch.float32
    )
    # Padding stands on the right, where causal attention keeps it out of sight: no mask is needed.
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), tokens[:, 1:], reduction="none"
    )
    return (losses * weights[:, 1:]).sum()


@torch.no_grad()
def sample(
    model: LlamaForCausalLM,
    prompts: Sequence[list[int]],
    num_samples: int,
    max_tokens: int,
    seed: int,
    greedy: bool = False,
) -> list[list[list[int]]]:
    """Complete prompts, by sampling at temperature 1.

    Args:
        model: The policy.
        prompts: Token ids; all of one length.
        num_samples: Completions of each prompt.
        max_tokens: Longest completion.
        seed: Of torch's generator.
        greedy: Take the most likely token at each place instead.

    Returns:
        For each prompt, its completions as token ids without the end token.
    """
    torch.manual_seed(seed)
    model.eval()
    tokens = torch.tensor(prompts, device=model.device).repeat_interleave(num_samples, dim=0)
    # transformers' stubs lose the methods of GenerationMixin.
    made = cast("Any", model).generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=max_tokens,
        **(
            {"do_sample": False}
            if greedy
            else {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        ),
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
    )
    rows: list[list[int]] = made[:, tokens.shape[1] :].tolist()
    ended = [row[: row.index(EOS_ID)] if EOS_ID in row else row for row in rows]
    return [ended[i : i + num_samples] for i in range(0, len(ended), num_samples)]

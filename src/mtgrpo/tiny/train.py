"""The parts of the recipe that need torch: the untrained model, the training loop, the sampler."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mtgrpo.tiny.tokenizer import EOS, PAD, VOCABULARY

PAD_ID, EOS_ID = VOCABULARY.index(PAD), VOCABULARY.index(EOS)
_NUMBER_OF = {word: i for i, word in enumerate(VOCABULARY)}
_WORD = re.compile("|".join(map(re.escape, sorted(VOCABULARY[3:], key=len, reverse=True))))

Example: TypeAlias = "tuple[list[int], list[int]]"
"""Tokens, and the weight of each in the loss: 0 where it is only read."""


def encode(text: str) -> list[int]:
    """The tokenizer's ids, without the tokenizer: training encodes thousands of texts a second."""
    return [_NUMBER_OF[word] for word in _WORD.findall(text)]


def new_model() -> LlamaForCausalLM:
    """The untrained model: 3 Llama layers of width 128 that share input and output embeddings."""
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
    """Train on next tokens, the matrices of the layers with Muon and everything else with AdamW.

    Args:
        model: Trained in place.
        batch: Gives the examples of a step in parts; each part is padded for itself.
        steps: Number of optimiser steps.
        matrix_lr: Muon's learning rate; rises for 50 steps, then falls linearly to zero.
        vector_lr: AdamW's learning rate, on the same schedule.
        label: Begins each line of progress.
        log_every: Number of steps between two lines.
    """
    optimizers = _optimizers(model, matrix_lr, vector_lr)
    model.train()

    start, running_loss = time.perf_counter(), 0.0
    for step in range(steps):
        scale = min((step + 1) / 50, (steps - step) / max(steps - 50, 1), 1.0)
        for optimizer, rate in zip(optimizers, (matrix_lr, vector_lr), strict=True):
            optimizer.param_groups[0]["lr"] = rate * scale

        parts = batch(step)
        total_weight = sum(sum(weights) for part in parts for _, weights in part)
        for part in parts:
            loss = _loss(model, part, model.device) / total_weight
            loss.backward()
            running_loss += float(loss.detach())

        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        if (step + 1) % log_every == 0:
            seconds = time.perf_counter() - start
            loss_text = f"{running_loss / log_every:.4f}"
            print(f"{label} step {step + 1}/{steps} loss {loss_text} {seconds:.0f} s", flush=True)
            running_loss = 0.0


def _optimizers(
    model: LlamaForCausalLM, matrix_lr: float, vector_lr: float
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in ids]

    muon = torch.optim.Muon(
        matrices, lr=matrix_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(others, lr=vector_lr, betas=(0.9, 0.98), weight_decay=0.0)
    return muon, adamw


def _loss(model: LlamaForCausalLM, part: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Weighted sum of the negative log-likelihoods of the tokens."""
    longest = max(len(tokens) for tokens, _ in part)
    padded_tokens = [tokens + [PAD_ID] * (longest - len(tokens)) for tokens, _ in part]
    padded_weights = [weights + [0] * (longest - len(weights)) for _, weights in part]

    tokens = torch.tensor(padded_tokens, device=device)  # (examples, longest)
    weights = torch.tensor(padded_weights, device=device, dtype=torch.float32)

    # No mask is needed: padding stands on the right, where causal attention does not look.
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits  # (examples, longest - 1, V)
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), tokens[:, 1:], reduction="none"
    )  # (examples, longest - 1)
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
        num_samples: Number of completions of each prompt.
        max_tokens: Length of the longest completion.
        seed: Seed of torch's generator.
        greedy: Take the most likely token at each place instead.

    Returns:
        For each prompt, its completions as token ids without the end token.
    """
    torch.manual_seed(seed)
    model.eval()
    tokens = torch.tensor(prompts, device=model.device)
    tokens = tokens.repeat_interleave(num_samples, dim=0)  # (prompts * samples, length)

    how: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    if greedy:
        how = {"do_sample": False}

    # transformers' stubs lose the methods of GenerationMixin.
    generated = cast("Any", model).generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=max_tokens,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
        **how,
    )  # (prompts * samples, length + completion)

    completions: list[list[int]] = []
    for row in generated[:, tokens.shape[1] :].tolist():
        completions.append(row[: row.index(EOS_ID)] if EOS_ID in row else row)

    starts = range(0, len(completions), num_samples)
    return [completions[i : i + num_samples] for i in starts]

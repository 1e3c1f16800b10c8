"""Plain sampling for small models: a prompt is read once for all its completions.

For a small model, ``generate()`` spends most of its time on reading the same prompt once per
completion, on copying a growing cache and on rows that ended long ago. What is drawn here has
exactly the distribution of TRL's generation; the random numbers are used in another order, so the
samples of one seed differ.
"""

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

# Rows are dropped when at most this share is still being written: dropping copies the cache.
KEEP_BELOW = 0.75
# What a generation config may set besides the neutral sampling settings: nothing of this changes a
# distribution.
_HARMLESS = {
    *(
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "max_length",
        "max_new_tokens",
        "do_sample",
        "temperature",
    ),
    *("cache_implementation", "disable_compile", "use_cache", "return_dict_in_generate"),
    *("output_attentions", "output_hidden_states", "output_logits", "output_scores"),
    *("transformers_version", "_from_model_config"),
}
_NEUTRAL: dict[str, tuple[float | None, ...]] = {
    "top_k": (0,),
    "top_p": (1.0,),
    "min_p": (None, 0.0),
    "repetition_penalty": (1.0,),
}


class _ReservedLayer(DynamicLayer):
    """A cache layer whose room is taken once: a token is written in place, the rest not copied."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, num_new: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._length = keys.shape[-2]
        room = (*keys.shape[:-2], self._length + num_new, keys.shape[-1])
        self._room_k, self._room_v = (
            keys.new_empty(room),
            values.new_empty((*room[:-1], values.shape[-1])),
        )
        self._room_k[..., : self._length, :] = keys
        self._room_v[..., : self._length, :] = values
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (
            self._room_k[..., : self._length, :],
            self._room_v[..., : self._length, :],
        )

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, self._length = self._length, self._length + key_states.shape[-2]
        self._room_k[..., start : self._length, :] = key_states
        self._room_v[..., start : self._length, :] = value_states
        self._show()
        return self._room_k[..., : self._length, :], self._room_v[..., : self._length, :]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self._room_k, self._room_v = self._room_k[indices], self._room_v[indices]
        self._show()


def has_plain_cache(model: Any) -> bool:
    """Whether the model keeps all layers' keys and values, and nothing else, between tokens."""
    if not isinstance(model, PreTrainedModel) or model.config.is_encoder_decoder:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def why_not_plain(model: Any, settings: Any) -> str:
    """What keeps `sample` from doing what ``model.generate`` does with settings; empty if nothing.

    Args:
        model: Unwrapped model.
        settings: transformers' ``GenerationConfig`` with every sampling setting stated, as TRL
            makes it.
    """
    if not has_plain_cache(model):
        return "the model is not a plain causal language model with a full cache"
    if not settings.do_sample or settings.temperature is None:
        return "it does not sample at a temperature"
    for name, neutral in _NEUTRAL.items():
        if getattr(settings, name) not in neutral:
            return f"{name} is {getattr(settings, name)}"
    stated = settings.to_diff_dict()
    # What TRL leaves open, transformers takes from the model's own generation settings.
    stated |= {k: v for k, v in model.generation_config.to_diff_dict().items() if v is not None}
    odd = sorted(
        k
        for k, v in stated.items()
        if k not in _HARMLESS and k not in _NEUTRAL and v not in (None, False)
    )
    return f"{odd[0]} is set" if odd else ""


@torch.no_grad()
def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    pad_id: int,
    temperature: float = 1.0,
    greedy: bool = False,
) -> tuple[list[list[int]], list[list[float]]]:
    """One completion per prompt, drawn from the model at `temperature`.

    Args:
        model: Unwrapped model, see `has_plain_cache`.
        prompts: Token ids; equal neighbours are read once.
        max_new_tokens: Completions end here, or after the first token of `eos_ids`, which they
            include.
        eos_ids: Tokens that end a completion.
        pad_id: Fills up shorter prompts on the left.
        temperature: Divides the logits.
        greedy: Take the most likely token instead of drawing.

    Returns:
        Token ids per prompt, and the log-probability of each of them at `temperature`.
    """
    device = model.device
    distinct: list[Sequence[int]] = []
    owner: list[int] = []
    for prompt in prompts:
        if not distinct or distinct[-1] != prompt:
            distinct.append(prompt)
        owner.append(len(distinct) - 1)
    width = max(len(prompt) for prompt in distinct)
    ids = torch.tensor([[pad_id] * (width - len(p)) + list(p) for p in distinct], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in distinct], device=device)
    lengths = mask.sum(1)
    cache: Any = DynamicCache(config=model.config)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    found = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=position,
        past_key_values=cache,
        use_cache=True,
    )
    rows = torch.tensor(owner, device=device)
    cache.layers = [
        _ReservedLayer(layer.keys[rows], layer.values[rows], max_new_tokens)
        for layer in cache.layers
    ]
    logits = found.logits[:, -1][rows]
    position = lengths[rows]
    mask = torch.cat([mask, mask.new_ones((len(mask), max_new_tokens))], 1)[rows]
    ends = torch.tensor(list(eos_ids), device=device)
    written = torch.full((len(rows), max_new_tokens), pad_id, device=device)
    scores = torch.zeros((len(rows), max_new_tokens), device=device)
    alive = torch.arange(len(rows), device=device)  # the rows of the batch that are still run
    done = torch.zeros(len(rows), dtype=torch.bool, device=device)  # of those
    num_tokens = torch.full((len(rows),), max_new_tokens, device=device)
    for t in range(max_new_tokens):
        log_probs = torch.log_softmax(logits.float() / temperature, -1)
        token = (
            log_probs.argmax(-1, keepdim=True) if greedy else torch.multinomial(log_probs.exp(), 1)
        )
        written[alive, t] = token[:, 0]  # what a finished row writes lies behind its end
        scores[alive, t] = log_probs.gather(1, token)[:, 0]
        ending = ~done & torch.isin(token[:, 0], ends)
        num_tokens[alive[ending]] = t + 1
        done = done | ending
        num_left = len(done) - int(done.sum())
        if num_left == 0 or t + 1 == max_new_tokens:
            break
        if num_left <= KEEP_BELOW * len(done):
            kept = torch.nonzero(~done)[:, 0]
            for layer in cache.layers:
                layer.batch_select_indices(kept)
            alive, done, token, position, mask = (
                alive[kept],
                done[kept],
                token[kept],
                position[kept],
                mask[kept],
            )
        step = model(
            input_ids=token,
            attention_mask=mask[:, : width + t + 1],
            position_ids=position[:, None] + t,
            past_key_values=cache,
            use_cache=True,
        )
        logits = step.logits[:, -1]
    counts = num_tokens.tolist()
    tokens = [row[:n] for row, n in zip(written.tolist(), counts, strict=True)]
    return tokens, [row[:n] for row, n in zip(scores.tolist(), counts, strict=True)]

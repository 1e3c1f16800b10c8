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
    *("bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens"),
    *("do_sample", "temperature"),
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
        self._room_k, self._room_v = _with_room(keys, num_new), _with_room(values, num_new)
        self._show()

    def _show(self) -> None:
        # (rows, heads, tokens so far, size of a head)
        self.keys = self._room_k[..., : self._length, :]
        self.values = self._room_v[..., : self._length, :]

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


def _with_room(states: torch.Tensor, num_new: int) -> torch.Tensor:
    """Keys or values, shape (rows, heads, tokens, size), at the front of room for more tokens."""
    *before, num_tokens, size = states.shape
    room = states.new_empty((*before, num_tokens + num_new, size))
    room[..., :num_tokens, :] = states
    return room


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
    for name, value in model.generation_config.to_diff_dict().items():
        if value is not None:
            stated[name] = value

    for name in sorted(stated.keys() - _HARMLESS - _NEUTRAL.keys()):
        if stated[name] not in (None, False):
            return f"{name} is set"
    return ""


class _Writing:
    """Rows that are still being written, and the cache of what they are so far.

    Args:
        model: Unwrapped model.
        prompts: Token ids, each of them once.
        owner: Place of each row's prompt among them.
        num_new: Most tokens of a completion.
        pad_id: Fills up shorter prompts on the left.

    Attributes:
        logits: Those of each row's next token, shape (rows, vocabulary).
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        owner: Sequence[int],
        num_new: int,
        pad_id: int,
    ) -> None:
        self._model, device = model, model.device
        rows = torch.tensor(owner, device=device)  # (rows,)
        self._width = width = max(len(prompt) for prompt in prompts)

        ids = [[pad_id] * (width - len(p)) + list(p) for p in prompts]
        real = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        mask = torch.tensor(real, device=device)  # (prompts, width)
        self._cache: Any = DynamicCache(config=model.config)
        output = model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=self._cache,
            use_cache=True,
        )

        self._cache.layers = [
            _ReservedLayer(layer.keys[rows], layer.values[rows], num_new)
            for layer in self._cache.layers
        ]
        self.logits = output.logits[:, -1][rows]
        self._position = mask.sum(1)[rows]  # (rows,)
        self._mask = torch.cat([mask, mask.new_ones((len(mask), num_new))], 1)[rows]
        self._num_written = 0

    def write(self, tokens: torch.Tensor) -> None:
        """Append a token to each row, shape (rows, 1), and compute the logits of the next."""
        position = self._position + self._num_written
        self._num_written += 1
        output = self._model(
            input_ids=tokens,
            attention_mask=self._mask[:, : self._width + self._num_written],
            position_ids=position[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self.logits = output.logits[:, -1]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone, shape (rows kept,)."""
        for layer in self._cache.layers:
            layer.batch_select_indices(rows)
        self._position, self._mask = self._position[rows], self._mask[rows]


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
    distinct, owner = _distinct(prompts)
    writing = _Writing(model, distinct, owner, max_new_tokens, pad_id)

    size, device = (len(prompts), max_new_tokens), model.device
    written = torch.full(size, pad_id, device=device)  # (prompts, tokens)
    scores = torch.zeros(size, device=device)  # (prompts, tokens)
    num_tokens = torch.full((len(prompts),), max_new_tokens, device=device)  # (prompts,)

    ends = torch.tensor(list(eos_ids), device=device)
    alive = torch.arange(len(prompts), device=device)  # the rows that are still run
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)  # of those

    for t in range(max_new_tokens):
        log_probs = torch.log_softmax(writing.logits.float() / temperature, -1)
        if greedy:
            token = log_probs.argmax(-1, keepdim=True)  # (rows, 1)
        else:
            token = torch.multinomial(log_probs.exp(), 1)
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
            writing.keep(kept)
            alive, done, token = alive[kept], done[kept], token[kept]
        writing.write(token)

    counts = num_tokens.tolist()
    return (
        [row[:n] for row, n in zip(written.tolist(), counts, strict=True)],
        [row[:n] for row, n in zip(scores.tolist(), counts, strict=True)],
    )


def _distinct(prompts: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], list[int]]:
    """The prompts without repetitions of neighbours, and each prompt's place among them."""
    distinct: list[Sequence[int]] = []
    owner: list[int] = []
    for prompt in prompts:
        if not distinct or distinct[-1] != prompt:
            distinct.append(prompt)
        owner.append(len(distinct) - 1)
    return distinct, owner

"""Log-probabilities of the policy that generated a row, computed as TRL does, for TRL to use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl.models.utils import disable_gradient_checkpointing

from mtgrpo.integrations.trl.rollouts import RecordedRow, token_ids

OLD = "old_per_token_logps"  # TRL's name


def with_recorded(
    output: dict[str, Any], recorded: Sequence[torch.Tensor | None]
) -> dict[str, Any]:
    """TRL's batch, in which rows of the bank have their recorded log-probabilities."""
    if all(values is None for values in recorded):
        return output

    # With one update per batch TRL computes none: its ratio is 1. So it is for rows that have NaN
    # here, see `BankedGroups.fill`, at no forward pass.
    ids = output["completion_ids"]  # (rows, tokens)
    nothing = ids.new_full(ids.shape, torch.nan, dtype=torch.float32)
    output[OLD] = put_recorded(recorded, output.get(OLD, nothing))
    return output


def put_recorded(recorded: Sequence[torch.Tensor | None], into: torch.Tensor) -> torch.Tensor:
    """Rows of `into`, shape (rows, tokens), replaced by what was recorded; padded on the right."""
    result = into.clone()
    for i, values in enumerate(recorded):
        if values is not None:
            result[i] = 0.0
            result[i, : len(values)] = values.to(result)
    return result


def completion_log_probs(rows: Sequence[RecordedRow], trainer: Any) -> list[torch.Tensor]:
    """Log-probabilities of the rows' completions under the current policy.

    They are computed as TRL computes them: same method, mode, precision and number of rows at once.

    Args:
        rows: With their tokens.
        trainer: TRL's `GRPOTrainer`.

    Returns:
        A tensor of shape (tokens,) for each row, on the CPU.
    """
    prompts: list[torch.Tensor] = []
    completions: list[torch.Tensor] = []
    for row in rows:
        prompt, completion = token_ids(row)
        prompts.append(torch.tensor(prompt))
        completions.append(torch.tensor(completion))

    device = trainer.accelerator.device
    prompt_ids, prompt_mask = _padded(prompts, "left", device)  # (rows, prompt tokens)
    ids, mask = _padded(completions, "right", device)  # (rows, completion tokens)

    model, args = trainer.model, trainer.args

    with (
        torch.no_grad(),
        disable_gradient_checkpointing(model, args.gradient_checkpointing_kwargs),
    ):
        log_probs, *_ = trainer._get_per_token_logps_and_entropies(
            model,
            torch.cat([prompt_ids, ids], 1),
            torch.cat([prompt_mask, mask], 1),
            ids.size(1),
            batch_size=args.per_device_train_batch_size,
        )  # (rows, completion tokens)

    return [
        values[: len(tokens)].clone()
        for values, tokens in zip(log_probs.cpu(), completions, strict=True)
    ]


def _padded(
    parts: Sequence[torch.Tensor], side: str, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both of shape (rows, tokens of the longest)."""
    masks = [torch.ones_like(ids) for ids in parts]
    ids = pad_sequence(list(parts), batch_first=True, padding_side=side)
    mask = pad_sequence(masks, batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)

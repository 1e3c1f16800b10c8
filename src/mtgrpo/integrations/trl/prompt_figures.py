"""What a step's log says of the prompts."""

from __future__ import annotations

from collections.abc import Mapping

from mtgrpo.core.prompts import PromptStream


def memory_metrics(streams: Mapping[str, PromptStream]) -> dict[str, float]:
    """What the prompt memories did since the last call; empty without them."""
    metrics: dict[str, float] = {}
    for name, stream in streams.items():
        if stream.memory is not None and (tally := stream.memory.end_step()).asked:
            metrics[f"task/{name}/prompts_skipped_rate"] = tally.skipped_rate
            metrics[f"task/{name}/acceptance_rate_unskipped"] = tally.acceptance_unskipped
    return metrics

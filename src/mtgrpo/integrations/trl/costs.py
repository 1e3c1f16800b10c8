"""What rollouts took to generate: told with each group, and summed over a step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from mtgrpo.core.types import Cost, Group
from mtgrpo.integrations.trl.rollouts import RolledOut, token_ids


def with_costs(rolled_out: RolledOut, seconds: float, accelerator: Any) -> RolledOut:
    """The groups with their costs, the same on every process.

    Groups are generated together, so nothing says how long one of them took: each is given its part
    of the seconds by its tokens.

    Args:
        rolled_out: Of one call of TRL's generation; payloads are there on the process that made
            them.
        seconds: What the call took on this process; the slowest one's count.
        accelerator: accelerate's.
    """
    own: list[int] = []
    for group in rolled_out.groups:
        if group.payload is not None:
            own.append(sum(len(token_ids(row)[1]) for row in group.payload))

    device = accelerator.device
    counts = accelerator.gather(torch.tensor(own, device=device)).tolist()  # (groups,)
    slowest = max(accelerator.gather(torch.tensor([seconds], device=device)).tolist())

    per_token = slowest / max(1, sum(counts))
    groups = [
        replace(group, cost=Cost(tokens=count, seconds=count * per_token))
        for group, count in zip(rolled_out.groups, counts, strict=True)
    ]
    return rolled_out._replace(groups=groups)


class CostTally:
    """Sums costs of groups over a step."""

    def __init__(self) -> None:
        self._tokens, self._seconds = 0.0, 0.0

    def add(self, groups: Iterable[Group]) -> None:
        """Count groups; those without a cost are left out."""
        for group in groups:
            if group.cost is not None:
                self._tokens += group.cost.tokens or 0.0
                self._seconds += group.cost.seconds or 0.0

    def take_tokens(self) -> dict[str, float]:
        """Tokens since the last call: the same whenever the same groups are generated."""
        tokens, self._tokens = self._tokens, 0.0
        return {"sampler/tokens_generated": tokens}

    def take_seconds(self) -> dict[str, float]:
        """Seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return {"sampler/generation_time_s": seconds}

"""What a step needs of what generates, scores and logs for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from mtgrpo.integrations.trl.rollouts import RecordedRow, RolledOut


class Engine(Protocol):
    """What a step needs of the trainer around it."""

    accelerator: Any

    @property
    def generates_whole_rounds(self) -> bool:
        """Whether a round of any size may be generated at once."""
        ...

    @property
    def batch_is_used_up(self) -> bool:
        """Whether the next forward pass takes a new generation batch."""
        ...

    def roll_out(
        self, plan: Sequence[tuple[str, int]], first_uid: int, size: int | None = None
    ) -> RolledOut:
        """Generate and score one group per (task, training row), numbered from `first_uid`.

        It has `size` completions; by default those of a whole group.
        """
        ...

    def log_probs(self, rows: Sequence[RecordedRow]) -> list[torch.Tensor]:
        """Those of the rows' completions under the current policy, tensors of shape (tokens,)."""
        ...

    def measure_improvements(self) -> dict[str, float]:
        """I_k of the policy update just done; empty when it is not measured."""
        ...

    def log_step(self, metrics: Mapping[str, float]) -> None:
        """Hand a closed step's figures to TRL's log."""
        ...

"""Each task's share of TRL's loss: measured always, made exact on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.integrations.trl.rollouts import LOSS_FACTORS, TASK_NUMBERS

# Loss types whose normaliser is a completion's own length; in all others each token counts the
# same.
PER_COMPLETION = ("grpo", "sapo")


class TaskLossShares:
    """Knows, and may set, the tasks' shares of the loss.

    Shares hold for a generation batch, for which quotas are drawn and over which TRL's own default
    loss is normalised; its policy updates share one factor per task. Factors per update would be
    computed from a few rows of a task, whose noise they would carry into the gradient, and could do
    nothing for a task that an update misses.

    Args:
        names: Task names, in the order of their numbers.
        loss_type: TRL's ``loss_type``.
        exact: Whether advantages are scaled so that the shares are the targets; else they are only
            measured.

    Attributes:
        now: Each task's share of the loss of the batch settled last.
    """

    def __init__(self, names: Sequence[str], loss_type: str, *, exact: bool) -> None:
        self.names, self.loss_type, self.exact = tuple(names), loss_type, exact
        self.now: Mapping[str, float] = {}

    def settle(
        self,
        micro_batches: Sequence[dict[str, Any]],
        targets: Mapping[str, float],
        accelerator: Any,
    ) -> dict[str, float]:
        """Set the factors of a new generation batch, or remove them where shares are only measured.

        Args:
            micro_batches: The inputs of its forward passes on this process.
            targets: The shares that the batch should have, of any sum.
            accelerator: accelerate's `Accelerator`.

        Returns:
            Figures of the step.
        """
        num_rows, masses = self._sums(micro_batches, accelerator)

        wanted = [name for name in self.names if name in targets]
        shares = balance_loss(
            targets,
            {name: num_rows[name] for name in wanted},
            {name: masses[name] for name in wanted},
        )

        if self.exact:
            factors = torch.tensor(
                [shares.factors.get(name, 1.0) for name in self.names], device=accelerator.device
            )  # (tasks,)

            for micro_batch in micro_batches:  # a row that fills up has task -1 and factor 0
                micro_batch[LOSS_FACTORS] = (
                    micro_batch[LOSS_FACTORS] * factors[micro_batch[TASK_NUMBERS]]
                )
        else:
            for micro_batch in micro_batches:
                del micro_batch[LOSS_FACTORS]

        self.now = shares.after if self.exact else shares.before
        return shares.metrics(exact=self.exact)

    def _sums(
        self, micro_batches: Sequence[Mapping[str, Any]], accelerator: Any
    ) -> tuple[dict[str, float], dict[str, float]]:
        # Rows and masses of each task's groups that carry a gradient, over all forward passes and
        # processes; rows of groups that stand for several count as so many.
        sums = torch.zeros(
            (2, len(self.names)), dtype=torch.float64, device=accelerator.device
        )  # (rows and masses, tasks)

        for micro_batch in micro_batches:
            weights = micro_batch[LOSS_FACTORS].double()  # (rows,)
            counted = (weights > 0) & (micro_batch[TASK_NUMBERS] >= 0)
            numbers, weights = micro_batch[TASK_NUMBERS][counted], weights[counted]  # (counted,)

            masses = loss_masses(micro_batch, self.loss_type)[counted]
            sums[0].index_add_(0, numbers, weights)
            sums[1].index_add_(0, numbers, masses * weights)

        num_rows, masses = accelerator.reduce(sums, reduction="sum").tolist()
        return (
            dict(zip(self.names, num_rows, strict=True)),
            dict(zip(self.names, masses, strict=True)),
        )

    def scaled(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs of a loss, with the factors on their advantages where there are any."""
        if LOSS_FACTORS not in inputs:
            return inputs

        advantages = inputs["advantages"]  # (rows,) or (rows, tokens)
        factors = inputs[LOSS_FACTORS].to(advantages.dtype)  # (rows,)
        factors = factors.view(-1, *[1] * (advantages.dim() - 1))
        return {**inputs, "advantages": advantages * factors}


def loss_masses(micro_batch: Mapping[str, Any], loss_type: str) -> torch.Tensor:
    """What each row of a forward pass weighs in TRL's loss, up to one factor; shape (rows,)."""
    mask = micro_batch["completion_mask"]  # (rows, tokens)
    mask = mask * micro_batch["tool_mask"] if "tool_mask" in micro_batch else mask
    tokens = mask.sum(-1).double()  # (rows,)

    if loss_type in PER_COMPLETION:
        return (tokens > 0).double()
    if (
        loss_type == "bnpo"
    ):  # the one type whose normaliser is the forward pass's own number of tokens
        return tokens / tokens.sum().clamp(min=1.0)
    return tokens

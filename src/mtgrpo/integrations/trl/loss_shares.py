"""Each task's share of TRL's loss: measured always, made exact on request."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mtgrpo.core.loss_shares import LossShares, balance_loss
from mtgrpo.integrations.trl.banked import BankTrainer
from mtgrpo.integrations.trl.surrogate import TASK_NUMBERS
from mtgrpo.tasks.task_set import TaskSet

# Key of each row's factor on its advantage in the batch that TRL slices into minibatches.
LOSS_FACTORS = "mtgrpo_loss_factors"
# Loss types whose normaliser is a completion's own length; in all others each token counts the same.
PER_COMPLETION = ("grpo", "sapo")


def loss_masses(part: Mapping[str, Any], loss_type: str) -> torch.Tensor:
    """What each row of a forward pass weighs in TRL's loss, up to a factor that all rows share; shape (rows,)."""
    mask = part["completion_mask"]
    mask = mask * part["tool_mask"] if "tool_mask" in part else mask
    tokens = mask.sum(-1).double()
    if loss_type in PER_COMPLETION:
        return (tokens > 0).double()
    if (
        loss_type == "bnpo"
    ):  # the one type whose normaliser is the forward pass's own number of tokens
        return tokens / tokens.sum().clamp(min=1.0)
    return tokens


def carries_gradient(advantages: torch.Tensor, group_size: int) -> torch.Tensor:
    """1 for the rows of groups whose advantages are not all zero, 0 for the others; shape (rows,)."""
    groups = advantages.reshape(len(advantages) // group_size, -1)
    return (groups != 0).any(1).repeat_interleave(group_size).to(torch.float32)


class LossShareTrainer(BankTrainer):
    """A GRPOTrainer that knows, and may set, the tasks' shares of its loss.

    Shares hold for a generation batch, for which quotas are drawn and over which TRL's own default loss is
    normalised; its policy updates share one factor per task. Factors per update would be computed from a few rows of
    a task, whose noise they would carry into the gradient, and could do nothing for a task that an update misses.
    """

    accelerator: Any
    model: Any
    tasks: TaskSet
    loss_type: Any
    loss_shares: bool
    _buffered_inputs: Any
    _step_counts: dict[str, float]

    @abstractmethod
    def _loss_targets(self) -> Mapping[str, float]:
        """The shares that the batch just generated should have, of any sum."""

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            self._settle_shares(self._buffered_inputs)  # `inputs` is one of them
        return inputs

    def _settle_shares(self, parts: Sequence[dict[str, Any]]) -> None:
        names = self.tasks.names
        # Rows of the tasks, of the groups that carry a gradient, over all forward passes and processes.
        sums = torch.zeros((2, len(names)), dtype=torch.float64, device=self.accelerator.device)
        for part in parts:
            rows = (part[LOSS_FACTORS] > 0) & (part[TASK_NUMBERS] >= 0)
            numbers = part[TASK_NUMBERS][rows]
            sums[0].index_add_(0, numbers, torch.ones_like(numbers, dtype=torch.float64))
            sums[1].index_add_(0, numbers, loss_masses(part, self.loss_type)[rows])
        counts, masses = self.accelerator.reduce(sums, reduction="sum").tolist()
        targets = self._loss_targets()
        found = balance_loss(
            targets,
            {
                name: round(count)
                for name, count in zip(names, counts, strict=True)
                if name in targets
            },
            {name: mass for name, mass in zip(names, masses, strict=True) if name in targets},
        )
        if self.loss_shares:
            factors = torch.tensor(
                [found.factors.get(name, 1.0) for name in names], device=self.accelerator.device
            )
            for part in parts:  # a row that fills up has task -1 and factor 0
                part[LOSS_FACTORS] = part[LOSS_FACTORS] * factors[part[TASK_NUMBERS]]
        else:
            for part in parts:
                del part[LOSS_FACTORS]
        self._step_counts |= self._share_metrics(found)

    def _share_metrics(self, found: LossShares) -> dict[str, float]:
        shares = found.after if self.loss_shares else found.before
        metrics = {f"task/{name}/loss_share": share for name, share in shares.items()}
        if self.loss_shares:
            metrics |= {
                f"task/{name}/loss_share_unscaled": share for name, share in found.before.items()
            }
            metrics["sampler/loss_shares_capped"] = len(found.capped)
        return metrics

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if LOSS_FACTORS in inputs:
            advantages = inputs["advantages"]
            factors = inputs[LOSS_FACTORS].to(advantages.dtype)
            inputs = {
                **inputs,
                "advantages": advantages * factors.view(-1, *[1] * (advantages.dim() - 1)),
            }
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

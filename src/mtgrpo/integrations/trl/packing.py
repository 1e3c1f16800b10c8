"""Rows without a gradient are left out of the loss's passes, and the others packed into fewer."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mtgrpo.integrations.trl.schedule import Schedule

logger = logging.getLogger("mtgrpo")

# Loss types by what a row's tokens are divided by, besides its own length and constants.
BY_ROWS = ("grpo", "sapo", "dr_grpo", "luspo")  # rows of the forward pass
BY_TOKENS = ("bnpo",)  # tokens of the forward pass
BY_BATCH = ("dapo", "cispo", "vespo")  # tokens of the generation batch

FIGURE = "sampler/rows_left_out"


class RowPacking:
    """Leaves rows without a gradient out of the loss, where the gradient is the same without them.

    A row whose advantage is 0 at each token, or that has no token to train on, adds exactly 0 to
    the policy term of each loss type. The other rows of passes that belong to one policy update
    are packed into as few passes as hold them, and their advantages are scaled so that each row
    weighs what it weighed: the policy term is proportional to the advantage. Passes that are left
    over have no rows. The sum over an update's passes is the same up to the order of additions.

    Args:
        loss_type: TRL's ``loss_type``.
        schedule: TRL's batch arithmetic.

    Attributes:
        on: Whether it is used.
    """

    def __init__(self, loss_type: str, schedule: Schedule) -> None:
        self.loss_type = loss_type
        # Passes that one update is sure to take together: updates begin at multiples of the one
        # number, generation batches at multiples of the other.
        self.window = math.gcd(schedule.accumulation, schedule.slices)
        self.on = False

    def switch_on(self, trainer: Any) -> None:
        """Switch it on, unless rows of zero advantage count for something.

        Args:
            trainer: TRL's, complete.
        """
        reason = why_all_rows_count(trainer)
        self.on = not reason
        if reason:
            logger.info("rows of zero advantage stay in the loss's passes, because %s", reason)

    def pack(self, parts: Sequence[dict[str, Any]], accelerator: Any) -> dict[str, float]:
        """Change the inputs of a generation batch's passes; those left over have no rows.

        Args:
            parts: The inputs of its passes on this process.
            accelerator: accelerate's `Accelerator`.

        Returns:
            Figures of the step; empty where this is off.
        """
        if not self.on:
            return {}

        windows = [
            parts[start : start + self.window] for start in range(0, len(parts), self.window)
        ]
        kept = [torch.cat([counts(part) for part in window]) for window in windows]  # (rows,)
        own = torch.stack([rows.sum() for rows in kept])  # (windows,)

        # Passes end in an exchange between the processes, so all of them have as many rows. At
        # least one: its gradient of 0 still moves an optimizer that has momentum.
        most = accelerator.gather(own).view(-1, len(windows)).amax(0).clamp(min=1).tolist()

        left_out = 0
        for window, keep, number in zip(windows, kept, most, strict=True):
            _pack(window, keep, number, self.loss_type)
            left_out += len(keep) - number
        return {FIGURE: float(left_out * accelerator.num_processes)}


def _pack(
    window: Sequence[dict[str, Any]], keep: torch.Tensor, number: int, loss_type: str
) -> None:
    """Put the rows to keep, and others up to a number of rows, into as few passes as hold them."""
    filling = (~keep).nonzero()[: number - int(keep.sum()), 0]
    keep[filling] = True  # these add 0
    if keep.all():
        return

    size = len(window[0]["advantages"])  # of each pass
    num_passes = -(-number // size)
    weights = torch.cat([_weights(part, loss_type) for part in window])  # (rows,)
    whole = _joined(window)

    # The first ones are empty: processes exchange gradients in an update's last pass.
    places = keep.nonzero()[:, 0]
    empty = [places[:0]] * (len(window) - num_passes)
    for part, rows in zip(window, [*empty, *places.tensor_split(num_passes)], strict=True):
        packed = {name: _chosen(value, rows) for name, value in whole.items()}
        if len(rows):
            factors = weights[rows] / _weights(packed, loss_type)  # (rows,)
            packed["advantages"] = _scaled(packed["advantages"], factors)

        part.clear()
        part.update(packed)


def counts(part: Mapping[str, Any]) -> torch.Tensor:
    """Which rows of a pass have a gradient, shape (rows,)."""
    advantages = part["advantages"]  # (rows,) or (rows, tokens)
    has_advantage = (advantages != 0).view(len(advantages), -1).any(1)
    return has_advantage & (_tokens(part) > 0)


def is_empty(inputs: Mapping[str, Any]) -> bool:
    """Whether a pass has no rows: they are in others of its policy update."""
    return len(inputs["advantages"]) == 0


def no_loss(device: torch.device) -> torch.Tensor:
    """The loss of a pass without rows: 0, and nothing to go back through."""
    return torch.zeros((), device=device, requires_grad=True)


def _tokens(part: Mapping[str, Any]) -> torch.Tensor:
    """Trained tokens of each row, shape (rows,)."""
    mask = part["completion_mask"]  # (rows, tokens)
    mask = mask * part["tool_mask"] if part.get("tool_mask") is not None else mask
    return mask.sum(-1)


def _weights(part: Mapping[str, Any], loss_type: str) -> torch.Tensor:
    """What each row is multiplied by in a pass's mean, up to what all passes share: (rows,)."""
    tokens = _tokens(part).double()  # (rows,)
    if loss_type in BY_ROWS:
        return torch.full_like(tokens, 1 / len(tokens))
    if loss_type in BY_TOKENS:
        return torch.full_like(tokens, 1 / max(1.0, float(tokens.sum())))
    return torch.ones_like(tokens)


def _scaled(advantages: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Advantages of shape (rows,) or (rows, tokens), times one factor a row."""
    factors = factors.to(advantages.dtype).view(-1, *[1] * (advantages.dim() - 1))
    return advantages * factors


def _joined(window: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of several passes one after the other."""
    joined: dict[str, Any] = {}
    for name, value in window[0].items():
        values = [part[name] for part in window]
        if isinstance(value, torch.Tensor) and value.dim() > 0:
            joined[name] = torch.cat(values)
        elif isinstance(value, list):
            joined[name] = [item for part in values for item in part]
        else:
            joined[name] = value  # of the whole generation batch, or None
    return joined


def _chosen(value: Any, rows: torch.Tensor) -> Any:
    """Some rows of an input."""
    if isinstance(value, torch.Tensor) and value.dim() > 0:
        return value[rows]
    if isinstance(value, list):
        return [value[i] for i in rows.tolist()]
    return value


def why_all_rows_count(trainer: Any) -> str:
    """What makes rows of zero advantage count, or keeps them in; empty if nothing does."""
    args = trainer.args
    known = (*BY_ROWS, *BY_TOKENS, *BY_BATCH)

    switches = {
        "beta is not 0": trainer.beta != 0.0,
        "there is an entropy bonus": getattr(trainer, "_entropy_bonus_enabled", False),
        "top_entropy_quantile is below 1": trainer.top_entropy_quantile < 1.0,
        "experts are balanced by a loss": getattr(trainer, "aux_loss_enabled", False),
        f"loss_type={args.loss_type!r} is not known": args.loss_type not in known,
        "use_liger_kernel may fuse the loss": args.use_liger_kernel,
        "the weighting measures I_k over all rows": trainer.meter.on,
        "the model reads images": trainer._is_vlm,
        "the model is sharded": trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
        "torch_compile is on": args.torch_compile,  # it compiles for each number of rows
        "the model is replicated within a process": args.n_gpu > 1,
        "a subclass computes the loss": _has_another_loss(type(trainer)),
        "the model has dropout": _has_dropout(trainer.model),
    }
    return next((reason for reason, is_so in switches.items() if is_so), "")


def _has_another_loss(cls: type) -> bool:
    for base in cls.__mro__:
        if base.__module__ == "mtgrpo.integrations.trl.trainer":
            return False
        if {"compute_loss", "_compute_loss"} & vars(base).keys():
            return True
    return False


def _has_dropout(model: torch.nn.Module) -> bool:
    """Whether a pass draws random numbers, which other passes then do not get."""
    if any(isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 for m in model.modules()):
        return True

    config = getattr(model, "config", None)
    values = config.to_dict() if config is not None else {}
    return any(
        "dropout" in name and isinstance(value, float) and value > 0
        for name, value in values.items()
    )

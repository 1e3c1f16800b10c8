"""The places of a training batch: which groups fill them, on which process, how rows are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object

from mtgrpo.core.batch import Batch
from mtgrpo.core.types import Group
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.rollouts import LOSS_FACTORS, TASK_NUMBERS, RecordedRow, task_of


class Slot(NamedTuple):
    """A place in the training batch.

    Attributes:
        group: What is trained on.
        owner: The process that generated it.
        trains: Whether it is trained on; otherwise its advantages are exactly 0.
    """

    group: Group
    owner: int
    trains: bool


def training_slots(batch: Batch, size: int, owners: Mapping[int | str, int]) -> list[Slot]:
    """Exactly `size` slots in the order of generation, filled up without a signal where need be.

    Raises:
        StateError: There is no group to fill up with.
    """
    slots = [Slot(group, owners[group.uid], True) for group in batch.groups]

    missing = size - len(slots)
    if missing:
        pool = [*batch.padding(missing), *batch.surplus] or batch.groups
        if not pool:
            raise StateError(
                "batch: not one group was generated; the sampler's planner asked for none"
            )
        fill = [pool[i % len(pool)] for i in range(missing)]
        slots += [Slot(group, owners[group.uid], False) for group in fill]

    # Rows stand in TRL's order: bitwise equal when nothing is dropped.
    return sorted(slots, key=lambda slot: slot.group.uid)


def own_rows(slots: Sequence[Slot], accelerator: Any) -> list[RecordedRow]:
    """The rows of this process's equal part of the slots, group by group."""
    groups = share_out(slots, accelerator.num_processes, accelerator.process_index)
    return [row for group in groups for row in group]


def share_out(slots: Sequence[Slot], num_processes: int, process: int) -> list[list[RecordedRow]]:
    """The rows of each group in a process's equal part of the slots.

    Only groups of which a process has too many travel.
    """
    quota = len(slots) // num_processes
    own = [[slot for slot in slots if slot.owner == r] for r in range(num_processes)]
    mine = [_rows(slot) for slot in own[process][:quota]]

    if any(len(part) > quota for part in own):
        travelling = gather_object([_rows(slot) for slot in own[process][quota:]])
        start = sum(max(0, quota - len(part)) for part in own[:process])
        mine += travelling[start : start + quota - len(mine)]

    return mine


def _rows(slot: Slot) -> list[RecordedRow]:
    rows: list[RecordedRow] = slot.group.payload
    if slot.trains:
        return rows

    # Their rewards stay: they are in TRL's figures, and in its log of completions.
    return [replace(row, trains=False) for row in rows]


# ---- marks -------------------------------------------------------------------------------------
def mark_rows(
    output: dict[str, Any], rows: Sequence[RecordedRow], names: Sequence[str], group_size: int
) -> None:
    """Add each row's task and loss factor to what TRL made of the rows.

    Rows that only fill up the batch lose their advantages, whatever their rewards.

    Args:
        output: TRL's batch of these rows.
        rows: Whole groups.
        names: Task names, in the order of their numbers.
        group_size: Rows per group.
    """
    places = {name: k for k, name in enumerate(names)}
    numbers = [places[task_of(row.inputs)] if row.trains else -1 for row in rows]

    fills = torch.tensor([not row.trains for row in rows])  # (rows,)
    advantages = output["advantages"]  # (rows,) or (rows, tokens)
    advantages = output["advantages"] = without(advantages, fills.to(advantages.device))

    output[TASK_NUMBERS] = torch.tensor(numbers, device=advantages.device)  # (rows,)
    weights = torch.tensor([row.weight for row in rows], device=advantages.device)  # (rows,)
    output[LOSS_FACTORS] = carries_gradient(advantages, group_size) * weights


def without(advantages: torch.Tensor, fills: torch.Tensor) -> torch.Tensor:
    """The advantages, exactly 0 in rows where `fills`, shape (rows,), is true."""
    fills = fills.view(-1, *[1] * (advantages.dim() - 1))  # (rows,) or (rows, 1)
    return advantages.masked_fill(fills, 0.0)


def carries_gradient(advantages: torch.Tensor, group_size: int) -> torch.Tensor:
    """1 for rows of groups whose advantages are not all zero, 0 for the others; shape (rows,)."""
    groups = advantages.reshape(len(advantages) // group_size, -1)  # (groups, rows of it x tokens)
    return (groups != 0).any(1).repeat_interleave(group_size).to(torch.float32)

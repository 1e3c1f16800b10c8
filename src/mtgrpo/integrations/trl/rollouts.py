"""Rollouts between TRL's generation and TRL's loss: planned, recorded, shared out among processes, joined again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from accelerate.utils import gather_object

from mtgrpo.core.batch import Batch
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.types import Group
from mtgrpo.errors import StateError
from mtgrpo.tasks.own_copy import own_copy

TASK_KEY = "mtgrpo_task"
ROW_KEY = "mtgrpo_row"


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One completion as TRL made it.

    Attributes:
        inputs: Its row, as TRL got it.
        generation: Its part of what `_generate` returned, field by field.
        rewards: Its reward columns.
        trains: False for a row that only fills up the batch.
        old_log_probs: Log-probabilities of the completion's tokens under the policy that generated it, a tensor of
            shape (tokens,); None while that is the current policy.
    """

    inputs: dict[str, Any]
    generation: tuple[Any, ...]
    rewards: tuple[float, ...]
    trains: bool = True
    old_log_probs: Any = field(default=None, compare=False, repr=False)


class _PerRow(NamedTuple):
    value: Any


class Slot(NamedTuple):
    """A place in the training batch.

    Attributes:
        group: What is trained on.
        owner: The process that generated it.
        trains: Whether the group keeps its rewards; without them its advantages are exactly 0.
    """

    group: Group
    owner: int
    trains: bool


# ---- rows ------------------------------------------------------------------------------------------------------
def input_row(task: str, index: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """A task's row as it travels through TRL. Copied: some versions and environments edit it in place."""
    return {**own_copy(dict(row)), TASK_KEY: task, ROW_KEY: index}


def split_generation(generation: Sequence[Any], num_rows: int) -> list[tuple[Any, ...]]:
    """The output of `_generate` row by row. Fields are not told apart by position, which changes between releases."""

    def part(value: Any, i: int) -> Any:
        if isinstance(value, dict):  # extra fields of a rollout function
            return {key: part(inner, i) for key, inner in value.items()}
        return _PerRow(value[i]) if isinstance(value, list) and len(value) == num_rows else value

    return [tuple(part(value, i) for value in generation) for i in range(num_rows)]


def join_generation(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """What `_generate` would have returned for these rows, which may come from different calls."""

    def join(values: Sequence[Any]) -> Any:
        if any(isinstance(value, _PerRow) for value in values):
            return [value.value if isinstance(value, _PerRow) else None for value in values]
        if isinstance(values[0], dict):
            keys = dict.fromkeys(key for value in values for key in value)
            return {key: join([value.get(key) for value in values]) for key in keys}
        return values[0]

    return tuple(join([row[field] for row in rows]) for field in range(len(rows[0])))


def token_ids(row: RecordedRow) -> tuple[list[int], list[int]]:
    """Tokens of a row's prompt and completion, which every release of TRL returns first."""
    prompt, completion = row.generation[:2]
    return prompt.value, completion.value


def dump_generation(generation: tuple[Any, ...]) -> list[Any]:
    """A row's part of a generation, JSON-able if its values are."""

    def plain(value: Any) -> list[Any]:
        if isinstance(value, _PerRow):
            return ["row", value.value]
        if isinstance(value, dict):
            return ["keys", {key: plain(inner) for key, inner in value.items()}]
        return ["all", value]

    return [plain(value) for value in generation]


def load_generation(record: Sequence[Any]) -> tuple[Any, ...]:
    """What `dump_generation` made plain."""

    def part(kind: str, value: Any) -> Any:
        if kind == "keys":
            return {key: part(*inner) for key, inner in value.items()}
        return _PerRow(value) if kind == "row" else value

    return tuple(part(*value) for value in record)


# ---- a round ---------------------------------------------------------------------------------------------------
def plan_round(request: Mapping[str, int], multiple: int) -> list[str]:
    """The task of each prompt to roll out, tasks interleaved, so that every stretch has about the round's shares.

    The round is padded to a multiple of the number of processes with prompts of the task that needs most.
    """
    counts = dict(request)
    neediest = max(counts, key=lambda task: counts[task])
    counts[neediest] += -sum(counts.values()) % multiple
    places = [
        ((i + 0.5) / count, k) for k, count in enumerate(counts.values()) for i in range(count)
    ]
    names = list(counts)
    return [names[k] for _, k in sorted(places)]


def take(groups: Sequence[Group], request: Mapping[str, int]) -> tuple[list[Group], list[Group]]:
    """The groups that a request asked for, and those beyond it."""
    room = dict(request)
    wanted, spare = list[Group](), list[Group]()
    for group in groups:
        if room.get(group.task, 0) > 0:
            room[group.task] -= 1
            wanted.append(group)
        else:
            spare.append(group)
    return wanted, spare


def in_order(groups: Sequence[Group], names: Sequence[str]) -> list[Group]:
    """The groups in the order that `names` gives their tasks; within a task they keep theirs."""
    queues: dict[str, deque[Group]] = {}
    for group in groups:
        queues.setdefault(group.task, deque()).append(group)
    return [queues[name].popleft() for name in names]


def memory_metrics(streams: Mapping[str, PromptStream]) -> dict[str, float]:
    """What the prompt memories did since the last call; empty without them."""
    metrics: dict[str, float] = {}
    for name, stream in streams.items():
        if stream.memory is not None and (tally := stream.memory.end_step()).asked:
            metrics[f"task/{name}/prompts_skipped_rate"] = tally.skipped_rate
            metrics[f"task/{name}/acceptance_rate_unskipped"] = tally.acceptance_unskipped
    return metrics


# ---- the batch -------------------------------------------------------------------------------------------------
def training_slots(batch: Batch, size: int, owners: Mapping[int | str, int]) -> list[Slot]:
    """Exactly `size` slots in the order of generation; missing groups are filled up without a signal."""
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
    return sorted(
        slots, key=lambda slot: slot.group.uid
    )  # rows in TRL's order: bitwise equal when nothing is dropped


def share_out(slots: Sequence[Slot], num_processes: int, process: int) -> list[list[RecordedRow]]:
    """This process's equal part of the slots, as rows. Only groups of which a process has too many travel."""
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
    # Equal rewards give advantage 0; of equal rewards only 0 and 1 have a mean that is exact in floating point.
    level = rows[0].rewards
    if not all(row.rewards == level for row in rows) or any(
        value not in (0.0, 1.0) for value in level
    ):
        level = (0.0,) * len(level)
    return [replace(row, rewards=level, trains=False) for row in rows]

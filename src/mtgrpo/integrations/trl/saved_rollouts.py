"""Rollouts that a checkpoint keeps: the batch in use, and the groups that wait for a later step.

Both are saved by each process for its own part, so that resuming is exact at every step.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mtgrpo.core.types import Group
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.rollouts import (
    RecordedRow,
    generation_as_json,
    generation_from_json,
    input_row,
    number_of,
    task_of,
)
from mtgrpo.tasks.task_set import TaskSet


# ---- the half used batch -----------------------------------------------------------------------
def buffer_file(checkpoint: Path, process: int) -> Path:
    """Where a process keeps its part of a half used generation batch."""
    return checkpoint / f"rollouts_{process}.safetensors"


def save_buffer(path: Path, slices: Sequence[Mapping[str, Any]]) -> None:
    """Write the slices of a batch: tensors as they are, lists of numbers and None as text."""
    tensors: dict[str, torch.Tensor] = {}
    others: list[dict[str, Any]] = []

    for i, part in enumerate(slices):
        rest: dict[str, Any] = {}
        for name, value in part.items():
            if isinstance(value, torch.Tensor):
                # Slices share memory, which the format does not take.
                tensors[f"{i}/{name}"] = value.detach().clone().contiguous()
            else:
                rest[name] = value
        others.append(rest)

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"others": json.dumps(others)})


def load_buffer(path: Path, device: torch.device) -> list[dict[str, Any]]:
    """Read what `save_buffer` wrote.

    Raises:
        StateError: The file is missing or damaged.
    """
    if not path.is_file():
        raise StateError(
            f"{path}: missing, but the checkpoint was written with its rollouts half used; "
            "resume with the same number of processes, or from a checkpoint at the end of a step"
        )

    with _reading(path), safe_open(path, framework="pt") as file:
        slices: list[dict[str, Any]] = json.loads(file.metadata()["others"])
        for key in file.keys():  # noqa: SIM118 - no mapping
            i, _, name = key.partition("/")
            slices[int(i)][name] = file.get_tensor(key).to(device)

    return slices


# ---- groups that wait --------------------------------------------------------------------------
def bank_file(checkpoint: Path, process: int) -> Path:
    """Where a process keeps the waiting groups that it generated."""
    return checkpoint / f"bank_{process}.safetensors"


def save_groups(path: Path, groups: Sequence[Group]) -> None:
    """Write the groups' rows: log-probabilities bit for bit, prompts by number, others as JSON."""
    records: list[dict[str, Any]] = []
    log_probs: list[torch.Tensor] = []

    for group in groups:
        rows: list[RecordedRow] = group.payload
        for row in rows:
            records.append(
                {
                    "uid": group.uid,
                    "task": task_of(row.inputs),
                    "row": number_of(row.inputs),
                    "generation": generation_as_json(row.generation),
                    "rewards": row.rewards,
                    "tokens": len(row.old_log_probs),
                }
            )
            log_probs.append(row.old_log_probs)  # (tokens,)

    # The format's own place for text is small.
    text = torch.frombuffer(bytearray(json.dumps(records).encode()), dtype=torch.uint8)  # (bytes,)

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"rows": text, "old_log_probs": torch.cat(log_probs)}, path)


def load_groups(
    path: Path, tasks: TaskSet, wanted: Collection[int | str]
) -> dict[int | str, list[RecordedRow]]:
    """The rows of each group by its uid.

    Args:
        path: From `save_groups`.
        tasks: Their rows are looked up.
        wanted: The groups that still wait; others may be of tasks that have left.

    Raises:
        StateError: The file is missing or damaged.
    """
    if not path.is_file():
        raise StateError(
            f"{path}: missing, but the checkpoint has groups waiting for a later step; "
            "resume where the files of all its processes can be read"
        )

    with _reading(path):
        tensors = load_file(path)
        records: list[dict[str, Any]] = json.loads(tensors["rows"].numpy().tobytes())
        parts = tensors["old_log_probs"].split([record["tokens"] for record in records])

    groups: dict[int | str, list[RecordedRow]] = {}
    for record, old_log_probs in zip(records, parts, strict=True):
        if record["uid"] not in wanted:
            continue
        task, index = record["task"], record["row"]
        row = RecordedRow(
            input_row(task, index, tasks[task].train[index]),
            generation_from_json(record["generation"]),
            tuple(record["rewards"]),
            old_log_probs=old_log_probs,
        )
        groups.setdefault(record["uid"], []).append(row)

    return groups


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors has its own exception class, outside the standard ones
        raise StateError(f"{path}: cannot be read ({error}); use another checkpoint") from error

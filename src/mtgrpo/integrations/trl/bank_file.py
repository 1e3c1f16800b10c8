"""What a checkpoint keeps of the groups that wait for a later step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mtgrpo.core.types import Group
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.rollouts import (
    ROW_KEY,
    TASK_KEY,
    RecordedRow,
    dump_generation,
    input_row,
    load_generation,
)
from mtgrpo.tasks.task_set import TaskSet


def bank_file(checkpoint: Path, process: int) -> Path:
    """Where a process keeps the groups that it generated."""
    return checkpoint / f"bank_{process}.safetensors"


def save_groups(path: Path, groups: Sequence[Group]) -> None:
    """Write the groups' rows: log-probabilities bit for bit, the rest as JSON, prompts as the number of their row."""
    rows: list[RecordedRow] = [row for group in groups for row in group.payload]
    text = json.dumps(
        [
            {
                "uid": group.uid,
                "task": row.inputs[TASK_KEY],
                "row": row.inputs[ROW_KEY],
                "generation": dump_generation(row.generation),
                "rewards": row.rewards,
                "tokens": len(row.old_log_probs),
            }
            for group in groups
            for row in group.payload
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # The format's own place for text is small.
    packed = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    save_file(
        {"rows": packed, "old_log_probs": torch.cat([row.old_log_probs for row in rows])}, path
    )


def load_groups(path: Path, tasks: TaskSet) -> dict[int | str, list[RecordedRow]]:
    """The rows of each group by its uid.

    Raises:
        StateError: The file is missing or damaged.
    """
    if not path.is_file():
        raise StateError(
            f"{path}: missing, but the checkpoint has groups waiting for a later step; "
            "resume where the files of all its processes can be read"
        )
    try:
        tensors = load_file(path)
        records: list[dict[str, Any]] = json.loads(tensors["rows"].numpy().tobytes())
        parts = tensors["old_log_probs"].split([record["tokens"] for record in records])
    except Exception as error:  # safetensors has its own exception class, outside the standard ones
        raise StateError(f"{path}: cannot be read ({error}); use another checkpoint") from error
    groups: dict[int | str, list[RecordedRow]] = {}
    for record, old_log_probs in zip(records, parts, strict=True):
        task, index = record["task"], record["row"]
        row = RecordedRow(
            input_row(task, index, tasks[task].train[index]),
            load_generation(record["generation"]),
            tuple(record["rewards"]),
            old_log_probs=old_log_probs,
        )
        groups.setdefault(record["uid"], []).append(row)
    return groups

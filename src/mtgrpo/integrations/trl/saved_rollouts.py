"""Rollouts that a checkpoint finds half used: saved with it, so that resuming is exact at every step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mtgrpo.errors import StateError


def buffer_file(checkpoint: Path, process: int) -> Path:
    """Where a process keeps its part."""
    return checkpoint / f"rollouts_{process}.safetensors"


def save_buffer(path: Path, slices: Sequence[Mapping[str, Any]]) -> None:
    """Write the slices of a generation batch: tensors as they are, lists of numbers and None as text."""
    tensors: dict[str, torch.Tensor] = {}
    others: list[dict[str, Any]] = []
    for i, part in enumerate(slices):
        others.append(
            {name: value for name, value in part.items() if not isinstance(value, torch.Tensor)}
        )
        for name, value in part.items():
            if isinstance(
                value, torch.Tensor
            ):  # slices share memory, which the format does not take
                tensors[f"{i}/{name}"] = value.detach().clone().contiguous()
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
    try:
        with safe_open(path, framework="pt") as file:
            slices: list[dict[str, Any]] = json.loads(file.metadata()["others"])
            for key in file.keys():  # noqa: SIM118 - no mapping
                i, _, name = key.partition("/")
                slices[int(i)][name] = file.get_tensor(key).to(device)
    except Exception as error:  # safetensors has its own exception class, outside the standard ones
        raise StateError(f"{path}: cannot be read ({error}); use another checkpoint") from error
    return slices

"""The accelerators that torch can use."""

from __future__ import annotations

import torch


def gpus() -> list[str]:
    """Name and memory of each."""
    found: list[str] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.cuda.get_device_properties(index)
        found.append(f"{index}: {device.name}, {device.total_memory / 2**30:.0f} GiB")
    return found

"""Random numbers of an evaluation, apart from those of training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def separate_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed Python, numpy and torch inside, and put all three back afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - TRL uses the global one

    on_device = device.type in ("cuda", "xpu")
    devices = [device.index or 0] if on_device else []
    with torch.random.fork_rng(devices=devices, device_type=device.type if on_device else "cuda"):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002

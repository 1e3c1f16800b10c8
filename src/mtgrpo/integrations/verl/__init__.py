"""Multi-task GRPO with verl: the two classes that verl's configuration loads.

    data.custom_cls:                   {path: pkg://mtgrpo.integrations.verl, name: MultiTaskDataset}
    trainer.v1.sampler.custom_sampler: {path: pkg://mtgrpo.integrations.verl, name: MultiTaskReplayBuffer}

They are imported when they are asked for, as verl has an environment of its own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgrpo.integrations.verl.buffer import MultiTaskReplayBuffer
    from mtgrpo.integrations.verl.dataset import MultiTaskDataset

__all__ = ["MultiTaskDataset", "MultiTaskReplayBuffer"]

_HOMES = {"MultiTaskDataset": "dataset", "MultiTaskReplayBuffer": "buffer"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

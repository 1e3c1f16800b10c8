"""Multi-task GRPO with verl: the two classes that verl's configuration loads.

    data.custom_cls:
        {path: pkg://mtgrpo.integrations.verl, name: MultiTaskDataset}
    trainer.v1.sampler.custom_sampler:
        {path: pkg://mtgrpo.integrations.verl, name: MultiTaskReplayBuffer}

How it works. verl's V1 trainer fetches prompts from the dataset and takes batches from the replay
buffer. The dataset ignores the index it is asked for and returns the next row of the task that the
mixer wants. The buffer looks at every finished group before a batch is made, tells the mixer, has
the missing prompts fetched, and hands on exactly the groups to train on. The mixer's state is part
of the dataset's, which verl saves with every checkpoint. See docs/verl.md.

Both classes are imported on first use: importing this needs neither verl nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mtgrpo.errors import require

if TYPE_CHECKING:
    from mtgrpo.integrations.verl.buffer import MultiTaskReplayBuffer
    from mtgrpo.integrations.verl.dataset import MultiTaskDataset

__all__ = ["MultiTaskDataset", "MultiTaskReplayBuffer"]

_HOMES = {
    "MultiTaskDataset": "mtgrpo.integrations.verl.dataset",
    "MultiTaskReplayBuffer": "mtgrpo.integrations.verl.buffer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    for library in ("torch", "verl", "transfer_queue"):
        require(library, "verl")
    return getattr(importlib.import_module(_HOMES[name]), name)

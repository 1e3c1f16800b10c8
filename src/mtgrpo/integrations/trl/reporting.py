"""Where a run's metrics go besides its directory: trackers that transformers writes to.

A run of the command line evaluates before and after training, and transformers' trackers begin and
end with the training. Without help trackio would fail at the first evaluation, and tensorboard
would write into the current directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback


@contextmanager
def reporting(trainer: Any, output: str) -> Iterator[None]:
    """Within the block, the trainer's trackers are open; they write into the run directory.

    Args:
        trainer: Ours, complete.
        output: The run directory.
    """
    handler = trainer.callback_handler
    for callback in handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(Path(output) / "tensorboard")

    ends: list[Any] = []
    for callback in handler.callbacks:
        if isinstance(callback, TrackioCallback):
            callback.setup(trainer.args, trainer.state, trainer.model)
            ends.append(callback.on_train_end)
            callback.on_train_end = _not_yet

    try:
        yield
    finally:
        for end in ends:
            end(trainer.args, trainer.state, trainer.control, model=trainer.model)


def _not_yet(*args: Any, **kwargs: Any) -> None:
    """The evaluation after training still has to be written."""

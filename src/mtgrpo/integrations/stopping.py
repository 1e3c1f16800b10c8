"""Ctrl-C and SIGTERM end a run at the next point it can be resumed from."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

PARENT = "MTGRPO_PARENT"
"""Environment variable: process id of whoever started this run and wants it to stop when it dies itself."""


class _StopCallback(TrainerCallback):
    """Asks the trainer to save and stop once a batch is used up."""

    def __init__(self) -> None:
        self.requested = False
        self.done = False
        self.trainer: Any = None
        self._parent = int(os.environ.get(PARENT) or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._parent and os.getppid() != self._parent:
            self.requested = True
        # Between two batches the checkpoint is complete; within one, rollouts would be lost.
        if self.requested and self.trainer.mixer.batch is None and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True
            self.done = True
        return control


@contextmanager
def graceful_stop(trainer: Any, tell: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within the block, the first SIGINT or SIGTERM finishes the step, saves and stops; a second one ends at once.

    Yields:
        A function that says whether training was stopped.
    """
    callback = _StopCallback()
    callback.trainer = trainer
    trainer.add_callback(callback)

    def handle(number: int, frame: Any) -> None:
        if callback.requested:
            raise KeyboardInterrupt
        callback.requested = True
        tell("stopping after this step, then saving; once more to stop at once")

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield lambda: callback.done
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: callback.done
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C and SIGTERM end a run at the next point it can be resumed from."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback

PARENT = "MTGRPO_PARENT"
"""Environment variable: process id of whoever started this run and wants it to stop when it dies itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """What the signals have asked for.

    Attributes:
        requested: A signal came, or the parent died.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.requested = False
        self._tell, self._training = tell, False
        self._parent = int(os.environ.get(PARENT) or 0)

    @contextmanager
    def after_the_step(self, trainer: Any) -> Iterator[None]:
        """Within the block, which trains, the first signal finishes the step and saves; a second one ends at once."""
        callback = _StopCallback(self, trainer)
        trainer.add_callback(callback)
        self._training = True
        try:
            yield
        finally:
            self._training = False
            trainer.remove_callback(callback)

    def check_parent(self) -> None:
        """Ask to stop when whoever started this run is gone."""
        if self._parent and os.getppid() != self._parent:
            self.requested = True

    def handle(self, number: int, frame: Any) -> None:
        """The signal handler."""
        if self._training and not self.requested:
            self.requested = True
            self._tell("stopping after this step, then saving; once more to stop at once")
            return
        self.requested = True
        for each in SIGNALS:  # whoever asks a third time does not want to wait for us to tidy up
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextmanager
def stop_on_signals(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Within the block, SIGINT and SIGTERM raise KeyboardInterrupt, but while it trains (`Stop.after_the_step`).

    They do so also where a shell started us with SIGINT ignored (``command &``). Handlers are put back afterwards.
    """
    stop = Stop(tell)
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # signals belong to the main thread
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _StopCallback(TrainerCallback):
    """Asks the trainer to save and stop once a batch is used up."""

    def __init__(self, stop: Stop, trainer: Any) -> None:
        self.stop, self.trainer = stop, trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self.stop.check_parent()
        accelerator = self.trainer.accelerator
        if accelerator.num_processes > 1:  # a signal reaches the processes at different steps
            flags = accelerator.gather(
                torch.tensor([self.stop.requested], device=accelerator.device)
            )
            self.stop.requested = bool(flags.any())
        # Between two batches the checkpoint is complete; within one, rollouts would be lost.
        if (
            self.stop.requested
            and self.trainer.mixer.batch is None
            and state.global_step < state.max_steps
        ):
            control.should_save = True
            control.should_training_stop = True
        return control

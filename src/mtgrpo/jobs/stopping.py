"""Ctrl-C and SIGTERM end a run at the next point it can be resumed from."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

PARENT = "MTGRPO_PARENT"
"""Environment variable: id of the process that started this run and takes it along when it dies."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """What the signals have asked for.

    Args:
        tell: Gets one line when a signal has to wait for the step.

    Attributes:
        requested: A signal came, or the parent died.
        before: The handlers that ours replace.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.requested = False
        self.before: dict[int, Any] = {}
        self._tell = tell
        self._training = False
        self._parent = int(os.environ.get(PARENT) or 0)

    @contextmanager
    def after_the_step(self, trainer: MultiTaskGRPOTrainer) -> Iterator[None]:
        """Within the block, which trains, the first signal finishes the step and saves.

        A second one ends at once.
        """
        from mtgrpo.integrations.trl.callback import StopCallback

        callback = StopCallback(self, trainer.mixer, trainer.accelerator)
        trainer.add_callback(callback)
        self._training = True
        try:
            yield
        finally:
            self._training = False
            trainer.remove_callback(callback)

    def check_parent(self) -> None:
        """Ask to stop when the process that started this run is gone."""
        if self._parent and os.getppid() != self._parent:
            self.requested = True

    def handle(self, number: int, frame: Any) -> None:
        """The signal handler."""
        if self._training and not self.requested:
            self.requested = True
            self._tell("stopping after this step, then saving; once more to stop at once")
            return

        self.requested = True
        for each in SIGNALS:  # a third one does not wait for us to tidy up
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextmanager
def stop_on_signals(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Within the block, SIGINT and SIGTERM raise KeyboardInterrupt, except while it trains.

    They do so also where a shell started us with SIGINT ignored (``command &``). Handlers are put
    back afterwards.
    """
    stop = Stop(tell)
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals belong to the main thread
        return

    for number in SIGNALS:
        stop.before[number] = signal.signal(number, stop.handle)
    try:
        yield stop
    finally:
        for number, handler in stop.before.items():
            signal.signal(number, handler)


def _leave_forks_alone() -> None:
    """Let what a reward forks be terminated as usual: it would inherit our handlers.

    The terminal sends SIGINT to a run and its forks alike. They pass over it: the run decides
    whether the step they work for is finished.
    """
    thread = threading.local()  # several threads may fork

    def before() -> None:
        # A signal that comes before the handlers are gone waits until they are.
        thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def after_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    def after_in_child() -> None:
        handler = signal.getsignal(signal.SIGTERM)
        stop = getattr(handler, "__self__", None)
        if isinstance(stop, Stop):
            signal.signal(signal.SIGTERM, stop.before[signal.SIGTERM])
            signal.signal(signal.SIGINT, _pass_over)
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )


def _pass_over(number: int, frame: Any) -> None:
    """A handler, unlike an ignored signal, does not outlive `exec`."""


if hasattr(os, "register_at_fork"):  # not on Windows
    _leave_forks_alone()

"""The rollout worker that TRL's asynchronous trainer is given: the loop, in a thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from mtgrpo.integrations.trl_async.batches import BatchMaker
from mtgrpo.integrations.trl_async.loop import MultiTaskRolloutLoop, cause_of


class MultiTaskRolloutWorker:
    """Implements TRL's `RolloutWorkerProtocol`.

    The loop runs in a thread, not in a process of its own as TRL's does: rewards need not be
    picklable, and the ledger is at hand for checkpoints.

    Args:
        batches: Makes the batches.
        start_loop: Makes the loop; called when the training begins, with TRL's own arguments for
            what loop and trainer share.

    Attributes:
        rollout_buffer: Samples that the trainer fetches.
        metrics_queue: What TRL's loop measures.
        model_version: The version of the policy that generates now.
        first_version: That of the first step of this training.
    """

    def __init__(
        self, batches: BatchMaker, start_loop: Callable[..., MultiTaskRolloutLoop]
    ) -> None:
        self.batches, self._make_loop = batches, start_loop
        self.rollout_buffer: Any = queue.Queue()
        self.metrics_queue: Any = queue.Queue(4096)
        self.first_version = 1

        self._version = SimpleNamespace(value=0)
        self._heartbeat = SimpleNamespace(value=0.0)
        self._loop: MultiTaskRolloutLoop | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def model_version(self) -> int:
        return self._version.value

    def start(self) -> None:
        """Begin to generate; TRL calls it once the server has the weights."""
        self.first_version, self._heartbeat.value = self.model_version, time.time()
        self._error = None
        self._loop = self._make_loop(
            rollout_buffer=self.rollout_buffer,
            model_version_value=self._version,
            heartbeat_value=self._heartbeat,
            failed_event=threading.Event(),
            exception_info_queue=queue.Queue(1),
            metrics_queue=self.metrics_queue,
        )
        self._thread = threading.Thread(target=self._run, name="mtgrpo-rollouts", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run()
        except BaseException as error:  # the trainer raises it, see `check_health`
            self._error = error

    def stop(self) -> None:
        """Stop generating; what is in flight is lost."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return

        if thread.is_alive():
            loop._loop.call_soon_threadsafe(loop._stop_event.set)
            thread.join(timeout=30)
        self._loop = self._thread = None

    def update_model_version(self, model_version: int) -> None:
        """The policy of this version generates from now on."""
        self._version.value = model_version

    def check_health(self, stale_after_s: float) -> None:
        """Raise what ended the loop, or that it hangs.

        Raises:
            RewardError: A reward failed, or too many rollouts.
            RuntimeError: The loop ended for another reason, or has not moved for so long.
        """
        if self._error is not None:
            raise cause_of(self._error) from self._error

        age = time.time() - self._heartbeat.value
        if age > stale_after_s:
            raise RuntimeError(f"rollouts: the loop has not moved for {age:.0f} s")

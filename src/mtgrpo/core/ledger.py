"""A mixer for engines that fetch prompts in one place and return groups in another, such as verl.

Such an engine fetches prompts by number and does not say what for. The ledger decides which task
each fetched prompt belongs to: first come the prompts that the mixer has asked for, then, where the
engine fetches more than that, prompts ahead of the next request.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mtgrpo.core.batch import Batch
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.types import Group, State
from mtgrpo.errors import ConfigError, RewardError, StateError, counted

VERSION = 2


class Ticket(NamedTuple):
    """A prompt that was handed out.

    Attributes:
        number: Unique in the run, in the order of handing out.
        task: Name of its task.
        row: Index among the task's rows.
    """

    number: int
    task: str
    row: int


class RolloutLedger:
    """Drives a mixer for an engine that fetches prompts one by one and returns groups in any order.

    The first prompt that is handed out after a batch was closed opens the next one:

        ticket = ledger.next_prompt()            # each time the engine fetches one
        ...
        ledger.settle({ticket.number: group})    # once all of `asked` have come back or are lost
        ...                                      # until ledger.done
        metrics = ledger.close()

    Args:
        mixer: Its sampler decides how many prompts of which task a batch needs.
        streams: The rows of each task, by name.

    Raises:
        ConfigError: The sampler banks surplus groups, whose log-probabilities such an engine does
            not keep.
        StateError: Mixer and streams have different tasks.
    """

    def __init__(self, mixer: TaskMixer, streams: Mapping[str, PromptStream]) -> None:
        if list(mixer.tasks) != list(streams):
            raise StateError(
                f"ledger: streams of {list(streams)} for a mixer of {list(mixer.tasks)}; "
                "both need the same tasks in the same order"
            )
        if staleness := mixer.sampler.bank.max_staleness:
            raise ConfigError(
                f"ledger: the sampler's max_staleness={staleness} keeps surplus for later "
                "steps, but an engine behind a ledger does not keep the log-probabilities they "
                "were generated with; set max_staleness=0"
            )

        self.mixer = mixer
        self.streams = streams
        self._num_tickets = 0
        self._queue: deque[str] = deque()  # tasks of prompts asked for and not handed out yet
        self._asked: dict[int, str] = {}  # handed out, and the batch waits for them
        self._ahead: dict[int, str] = {}  # handed out before a batch asked for them
        self._credit = np.zeros(len(mixer.tasks))  # prompts ahead that each task is still owed
        self._counts = {"failed": 0, "stale": 0, "discarded": 0}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(step={self.mixer.step}, queued={len(self._queue)}, "
            f"asked={len(self._asked)}, ahead={len(self._ahead)})"
        )

    @property
    def batch(self) -> Batch:
        """The batch that is being filled.

        Raises:
            StateError: No batch is open.
        """
        batch = self.mixer.batch
        if batch is None:
            raise StateError("ledger: no batch is open; next_prompt() opens one")
        return batch

    @property
    def done(self) -> bool:
        """Whether a batch is open and final."""
        batch = self.mixer.batch
        return batch is not None and batch.done

    # ---- handing out ---------------------------------------------------------------------------
    def next_prompt(self) -> Ticket:
        """The next prompt to roll out: one that was asked for, or else one ahead of any request.

        Prompts ahead are dealt by the task weights.
        """
        if self.mixer.batch is None:
            self.mixer.new_batch()
            self._ask()

        number = self._num_tickets
        self._num_tickets += 1

        if self._queue:
            task = self._queue.popleft()
            self._asked[number] = task
        else:
            task = self._task_ahead()
            self._ahead[number] = task

        (row,) = self.streams[task].draw_rows(1)
        return Ticket(number, task, row)

    def _task_ahead(self) -> str:
        self._credit += self.mixer.weighting.weight_array()
        most = int(np.argmax(self._credit))  # the first of equals, so it is repeatable
        self._credit[most] -= 1.0
        return self.mixer.tasks[most]

    @property
    def num_queued(self) -> int:
        """Prompts asked for that the engine has not fetched yet."""
        return len(self._queue)

    # ---- what comes back -----------------------------------------------------------------------
    @property
    def asked(self) -> frozenset[int]:
        """Numbers of the tickets the batch waits for."""
        return frozenset(self._asked)

    def task(self, number: int) -> str | None:
        """The task of a ticket that is out; None for one that is unknown or was given up."""
        return self._asked.get(number, self._ahead.get(number))

    def settle(self, groups: Mapping[int, Group]) -> None:
        """Tell the mixer what came back of the prompts it asked for, and ask again.

        A round is told as a whole, in the order its prompts were handed out: what a batch holds
        must not depend on what finishes first. Tickets that were asked for and have no group count
        as failed and are replaced.

        Args:
            groups: By ticket number. Groups ahead of a request are left alone.

        Raises:
            RewardError: More groups failed in this step than the batch has groups.
            ShortfallError: As `Batch.ask`.
            StateError: No batch is open.
        """
        batch = self.batch
        self._counts["failed"] += sum(number not in groups for number in self._asked)
        self._check_failures()

        # Not in the order of arrival: short completions finish first.
        arrived = [number for number in sorted(self._asked) if number in groups]
        batch.tell(groups[number] for number in arrived)
        self._ask()

    def _check_failures(self) -> None:
        num_failed = self._counts["failed"]
        if num_failed > self.mixer.batch_size:
            raise RewardError(
                f"step {self.mixer.step}: {counted(num_failed, 'group')} failed, a batch has "
                f"{self.mixer.batch_size}; the engine logged the reason of each (verl: 'Error in "
                "_run_prompt'); remove the cause and resume"
            )

    def _ask(self) -> None:
        self._asked.clear()
        self._queue.clear()  # ask() repeats what is still outstanding

        ahead = defaultdict[str, list[int]](list)
        for number in sorted(self._ahead):  # oldest first
            ahead[self._ahead[number]].append(number)

        for task, count in self.batch.ask().items():
            claimed = ahead[task][:count]
            for number in claimed:
                self._asked[number] = self._ahead.pop(number)

            self._queue.extend([task] * (count - len(claimed)))

    def give_up(self, numbers: Iterable[int], reason: str) -> None:
        """Give up groups that cannot be trained on; those asked for are replaced after the round.

        Args:
            numbers: Numbers of their tickets; unknown ones are passed over.
            reason: ``"failed"`` or ``"stale"``: the counter they go to.
        """
        for number in numbers:
            self._counts[reason] += self.task(number) is not None
            self._ahead.pop(number, None)
            self._asked.pop(number, None)

    def discard_ahead(self) -> None:
        """Give up all prompts ahead, for engines that may not carry them over to the next step."""
        self._counts["discarded"] += len(self._ahead)
        self._ahead.clear()

    def close(self) -> dict[str, float]:
        """Move the weights and close the batch.

        Returns:
            The step's metrics; docs/metrics.md lists them.

        Raises:
            StateError: The batch is still being filled.
        """
        self.mixer.update()
        metrics = self.mixer.metrics() | {
            "sampler/failed": self._counts["failed"],
            "sampler/stale": self._counts["stale"],
            "sampler/discarded": self._counts["discarded"],
        }

        self._counts = dict.fromkeys(self._counts, 0)
        return metrics

    # ---- state ---------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything that changes the next decision, JSON-able: mixer, streams, prompts out."""
        return {
            "version": VERSION,
            "mixer": self.mixer.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self.streams.items()},
            "num_tickets": self._num_tickets,
            "queue": list(self._queue),
            "asked": [[number, task] for number, task in self._asked.items()],
            "ahead": [[number, task] for number, task in self._ahead.items()],
            "credit": self._credit.tolist(),
            "counts": dict(self._counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the saved ledger stood.

        Raises:
            StateError: Saved by another version, or for other tasks, rows, batch size or weighting.
        """
        version = state.get("version")
        if version != VERSION:
            raise StateError(f"ledger: state version {version!r}; this mtgrpo reads {VERSION}")

        self.mixer.load_state_dict(state["mixer"])  # refuses other tasks
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])

        self._num_tickets = int(state["num_tickets"])
        self._queue = deque(state["queue"])
        self._asked = {int(number): task for number, task in state["asked"]}
        self._ahead = {int(number): task for number, task in state["ahead"]}
        self._credit = np.array(state["credit"], dtype=np.float64)
        self._counts = dict(state["counts"])

"""A mixer for engines that fetch prompts in one place and get groups back in another: verl, for one.

Such an engine fetches prompts by number and does not say what for. The ledger decides whose prompt each fetch is: first
the prompts that the mixer has asked for, then, where the engine fetches more than that, prompts ahead of the next
request.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.types import Group, State
from mtgrpo.errors import ConfigError, RewardError, StateError

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
    """Drives a mixer for an engine that fetches prompts one by one and gets groups back in any order.

    A batch is opened by the first prompt handed out after the last one was closed:

        ticket = ledger.next_prompt()            # as often as the engine fetches
        ...
        ledger.settle({ticket.number: group})    # once all of `asked` came back or are known to be lost
        ...                                      # until ledger.done
        metrics = ledger.close()

    Args:
        mixer: Its sampler decides how many prompts of which task a batch needs.
        streams: The rows of each task, by name.

    Raises:
        ConfigError: The sampler banks surplus groups, which such an engine keeps no log-probabilities of.
        StateError: Tasks of mixer and streams differ.
    """

    def __init__(self, mixer: TaskMixer, streams: Mapping[str, PromptStream]) -> None:
        if list(mixer.tasks) != list(streams):
            raise StateError(
                f"ledger: streams of {list(streams)} for a mixer of {list(mixer.tasks)}; give it the same"
            )
        if staleness := mixer.sampler.bank.max_staleness:
            raise ConfigError(
                f"ledger: the sampler's max_staleness={staleness} keeps surplus groups for later steps, but an engine "
                "behind a ledger does not keep the log-probabilities they were generated with; set max_staleness=0"
            )
        self.mixer, self.streams = mixer, streams
        self._num_tickets = 0
        self._queue: deque[str] = (
            deque()
        )  # tasks of prompts that were asked for and not handed out yet
        self._asked: dict[int, str] = {}  # handed out, and the batch waits for them
        self._ahead: dict[int, str] = {}  # handed out before a batch asked for them
        self._credit = np.zeros(len(mixer.tasks))  # of prompts ahead: what each task is still owed
        self._counts = {"failed": 0, "stale": 0, "discarded": 0}

    # ---- what the engine fetches ---------------------------------------------------------------------------
    def next_prompt(self) -> Ticket:
        """The next prompt to roll out: one that was asked for, or else one ahead, dealt by the task weights."""
        if self.mixer.batch is None:
            self.mixer.new_batch()
            self._ask()
        if self._queue:
            task, book = self._queue.popleft(), self._asked
        else:
            task, book = self._task_ahead(), self._ahead
        number, self._num_tickets = self._num_tickets, self._num_tickets + 1
        book[number] = task
        return Ticket(number, task, self.streams[task].draw(1)[0])

    def _task_ahead(self) -> str:
        self._credit += self.mixer.weighting.weight_array()
        place = int(np.argmax(self._credit))  # the first of equals, so it is repeatable
        self._credit[place] -= 1.0
        return self.mixer.tasks[place]

    @property
    def num_queued(self) -> int:
        """Prompts asked for that the engine has not fetched yet."""
        return len(self._queue)

    # ---- what comes back -----------------------------------------------------------------------------------
    @property
    def asked(self) -> frozenset[int]:
        """Numbers of the tickets the batch waits for."""
        return frozenset(self._asked)

    def task(self, number: int) -> str | None:
        """The task of a ticket that is out; None when the ledger does not know it or has given it up."""
        return self._asked.get(number, self._ahead.get(number))

    @property
    def done(self) -> bool:
        """Whether the batch is final."""
        return self.mixer.batch is not None and self.mixer.batch.done

    def settle(self, groups: Mapping[int, Group]) -> None:
        """Tell the mixer what came back of the prompts it asked for, and ask again.

        Groups are told in the order their prompts were handed out, not in the order they finished in: short
        completions finish first. Asked tickets without a group count as failed and are replaced.

        Args:
            groups: By ticket number; those ahead of a request are left alone.

        Raises:
            RewardError: More groups failed in this step than the batch has groups.
            ShortfallError: As `Batch.ask`.
            StateError: No batch is open.
        """
        batch = self.mixer.batch
        if batch is None:
            raise StateError(
                "ledger: settle() without a batch; hand prompts out with next_prompt() first"
            )
        self._counts["failed"] += sum(number not in groups for number in self._asked)
        if self._counts["failed"] > self.mixer.batch_size:
            raise RewardError(
                f"step {self.mixer.step}: {self._counts['failed']} groups failed, a batch has {self.mixer.batch_size}; "
                "the engine logged the reason of each (verl: 'Error in _run_prompt'); mend it and resume"
            )
        batch.tell(groups[number] for number in sorted(self._asked) if number in groups)
        self._ask()

    def _ask(self) -> None:
        assert self.mixer.batch is not None
        self._asked.clear()
        self._queue.clear()  # ask() repeats what is still outstanding
        ahead = defaultdict[str, list[int]](list)
        for number in sorted(self._ahead):  # oldest first
            ahead[self._ahead[number]].append(number)
        for task, count in self.mixer.batch.ask().items():
            claimed = ahead[task][:count]
            for number in claimed:
                self._asked[number] = self._ahead.pop(number)
            self._queue.extend([task] * (count - len(claimed)))

    def give_up(self, numbers: Iterable[int], reason: str) -> None:
        """Give up groups that cannot be trained on; those asked for are replaced when the round is settled.

        Args:
            numbers: Of their tickets; unknown ones are passed over.
            reason: ``"failed"`` or ``"stale"``: the counter it goes to.
        """
        for number in numbers:
            self._counts[reason] += self.task(number) is not None
            self._ahead.pop(number, None)
            self._asked.pop(number, None)

    def discard_ahead(self) -> None:
        """Give up all prompts ahead of a request, for engines that may not carry them over to the next step."""
        self._counts["discarded"] += len(self._ahead)
        self._ahead.clear()

    def close(self) -> dict[str, float]:
        """Move the weights and close the batch. Returns the step's figures; docs/metrics.md lists them.

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

    # ---- state ---------------------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything that changes the next decision, JSON-able: mixer, streams, and which prompts are out."""
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
        if state.get("version") != VERSION:
            raise StateError(
                f"ledger: state version {state.get('version')!r}; this mtgrpo reads {VERSION}"
            )
        self.mixer.load_state_dict(state["mixer"])  # refuses other tasks
        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])
        self._num_tickets = int(state["num_tickets"])
        self._queue = deque(state["queue"])
        self._asked = {int(number): task for number, task in state["asked"]}
        self._ahead = {int(number): task for number, task in state["ahead"]}
        self._credit = np.array(state["credit"], dtype=np.float64)
        self._counts = dict(state["counts"])

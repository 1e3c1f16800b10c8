"""A mixer for engines that fetch prompts in one place and return groups in another, such as verl.

Such an engine fetches prompts by number and does not say what for. The ledger decides which task
each fetched prompt belongs to: first come the prompts that the mixer has asked for, then, where the
engine fetches more than that, prompts ahead of the next request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mtgrpo.core.ahead import DealAhead
from mtgrpo.core.batch import Batch
from mtgrpo.core.filters import informative_filter
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import refuse_probes
from mtgrpo.core.prompts import PromptStream, memory_metrics, remember_groups
from mtgrpo.core.tickets import Ticket, TicketBook
from mtgrpo.core.types import Floats, Group, Ints, State
from mtgrpo.errors import ConfigError, RewardError, StateError, unknown

VERSION = 4
REASONS = ("failed", "stale", "discarded")
MAX_FAILURE_RATE = 0.5


class RolloutLedger:
    """Drives a mixer for an engine that fetches prompts one by one and returns groups in any order.

    The first prompt that is handed out after a batch was closed opens the next one:

        while ledger.wants_prompts:              # or whenever the engine fetches one
            ticket = ledger.next_prompt()
        ...
        ledger.take(ticket.number, group)        # each group as it comes back
        ...
        if ledger.is_complete:                   # all that was asked for is here
            ledger.settle()                      # tell the round and ask again
        if ledger.done:
            train(ledger.batch.groups)
            metrics = ledger.close()

    Selection does not depend on what finishes first: a round is told as a whole, in the order its
    prompts were handed out. Meanwhile workers are kept busy by prompts ahead, see `DealAhead`.

    Args:
        mixer: Its sampler decides how many prompts of which task a batch needs.
        streams: The rows of each task, by name.
        max_ahead: Batches' worth of prompts that each task may be ahead of the batch.

    Raises:
        ConfigError: The sampler banks surplus groups, whose log-probabilities such an engine does
            not keep, or has probes; or a `max_ahead` that cannot be.
        StateError: Mixer and streams have different tasks.
    """

    def __init__(
        self, mixer: TaskMixer, streams: Mapping[str, PromptStream], *, max_ahead: float = 16.0
    ) -> None:
        if list(mixer.tasks) != list(streams):
            raise StateError(
                f"ledger: streams of {list(streams)} for a mixer of {list(mixer.tasks)}; "
                "both need the same tasks in the same order"
            )
        refuse_probes(mixer.sampler, "ledger")
        if staleness := mixer.sampler.bank.max_staleness:
            raise ConfigError(
                f"ledger: the sampler's max_staleness={staleness} keeps surplus for later "
                "steps, but an engine behind a ledger does not keep the log-probabilities they "
                "were generated with; set max_staleness=0"
            )

        self.mixer = mixer
        self.streams = streams
        self.deal = DealAhead(max_ahead)
        self._book = TicketBook(mixer.tasks)
        self._informs = informative_filter(mixer.sampler.group_filter)
        self._needs: Floats | None = None
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(step={self.mixer.step}, {self._book})"

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
        """The next prompt to roll out: one that was asked for, or else one ahead of any request."""
        if self.mixer.batch is None:
            self.mixer.new_batch()
            self._ask()

        asked = bool(self._book.queue)
        if asked:
            task = self._book.queue.popleft()
        else:
            task = self.mixer.tasks[self.deal.next_task(*self._dealing())]

        (draw,) = self.streams[task].draw(1)
        number = self._book.hand_out(task, self.mixer.step, draw, asked=asked)
        return Ticket(number, task, draw.row)

    @property
    def wants_prompts(self) -> bool:
        """Whether a prompt fetched now is of use; an engine that can wait fetches none else."""
        if self.mixer.batch is None or self._book.queue:
            return True
        return bool(self.deal.wanted(*self._dealing()).any())

    @property
    def num_queued(self) -> int:
        """Prompts asked for that the engine has not fetched yet."""
        return len(self._book.queue)

    def _dealing(self) -> tuple[Floats, Ints, Ints]:
        """What a batch needs, what is ahead and what is awaited, each of shape (K,)."""
        if self._needs is None:
            self._needs = self.batch.prompts_needed(
                self.mixer.weighting.weight_array(), self.mixer.sampler.acceptance.rates()
            )
        return self._needs, self._book.num_ahead, self._book.num_awaited

    # ---- what comes back -----------------------------------------------------------------------
    def task(self, number: int) -> str | None:
        """The task of a ticket that is out; None for one that is unknown, told or given up."""
        out = self._book.out.get(number)
        return None if out is None else out.task

    def take(self, number: int, group: Group) -> bool:
        """Keep a group that has come back until it is told.

        Returns:
            False when its ticket was given up or told before: the group is of no use.

        Raises:
            StateError: The ticket is another task's.
        """
        is_new = number not in self._book.arrived
        is_taken = self._book.take(number, group)
        self._counts["arrived"] += is_taken and is_new
        return is_taken

    @property
    def arrived(self) -> Mapping[int, Group]:
        """Groups that are back and not told yet, by ticket number."""
        return MappingProxyType(self._book.arrived)

    @property
    def asked(self) -> frozenset[int]:
        """Numbers of the tickets the batch waits for, whether they have come back or not."""
        return frozenset(self._book.asked)

    @property
    def missing(self) -> frozenset[int]:
        """Numbers of the tickets that are out and have not come back."""
        return frozenset(self._book.out.keys() - self._book.arrived.keys())

    @property
    def is_complete(self) -> bool:
        """Whether all that the batch has asked for was fetched, and came back or was given up."""
        if self.mixer.batch is None or self.done or self._book.queue:
            return False
        return not self._book.num_awaited.any()

    def settle(self, groups: Mapping[int, Group] | None = None) -> None:
        """Tell the mixer what came back of the prompts it asked for, and ask again.

        Tickets that were asked for and have no group count as failed and are replaced.

        Args:
            groups: Further groups by ticket number, as for `take`.

        Raises:
            RewardError: Most groups of this step failed, and more than a batch has.
            ShortfallError: As `Batch.ask`.
            StateError: No batch is open.
        """
        batch = self.batch
        for number, group in (groups or {}).items():
            self.take(number, group)

        self._drop(self._book.asked - self._book.arrived.keys(), "failed")

        told = self._book.take_round()
        batch.tell(told)
        remember_groups(self.streams, told, self._informs)
        self._ask()

    def _ask(self) -> None:
        self._needs = None  # weights move with steps, acceptance rates with rounds
        for task, count in self.batch.ask().items():
            self._book.request(task, count)

    # ---- what does not come back ---------------------------------------------------------------
    def give_up(self, numbers: Iterable[int], reason: str) -> None:
        """Give up groups that cannot be trained on; those asked for are replaced at once.

        Args:
            numbers: Numbers of their tickets; unknown ones are passed over. An engine that drops
                groups without a word gives up what is in `missing` and not in flight any more.
            reason: ``"failed"``, ``"stale"`` or ``"discarded"``: the counter they go to.

        Raises:
            ConfigError: Another reason.
            RewardError: As `settle`.
        """
        if reason not in REASONS:
            raise ConfigError(unknown("ledger: give_up", "reason", reason, REASONS))

        for task, count in self._drop(numbers, reason).items():
            self._book.request(task, count)

    def expire(self, max_age: int) -> frozenset[int]:
        """Give up all tickets handed out more than `max_age` steps ago, as stale; their numbers."""
        oldest = self.mixer.step - max_age
        expired = frozenset(n for n, out in self._book.out.items() if out.step < oldest)
        self.give_up(expired, "stale")
        return expired

    def discard_ahead(self) -> None:
        """Give up all prompts ahead, for engines that may not carry them over to the next step."""
        self.give_up(self._book.out.keys() - self._book.asked, "discarded")

    def _drop(self, numbers: Iterable[int], reason: str) -> Counter[str]:
        """Forget tickets; how many of them the batch had asked for, per task."""
        asked = Counter[str]()
        for number in sorted(numbers):
            task = self.task(number)
            if task is not None:
                asked[task] += self._book.drop(number)
                self._counts[reason] += 1

        self._check_failures()
        return asked

    def _check_failures(self) -> None:
        failed, arrived = self._counts["failed"], self._counts["arrived"]
        if failed <= self.mixer.batch_size or failed <= MAX_FAILURE_RATE * (failed + arrived):
            return
        raise RewardError(
            f"step {self.mixer.step}: {failed} of {failed + arrived} groups failed, at most half "
            "may; the engine logged the reason of each (verl: 'Error in _run_prompt'); remove the "
            "cause and resume"
        )

    # ---- the end of a step ---------------------------------------------------------------------
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
            **memory_metrics(self.streams),
        }

        self._counts.clear()
        return metrics

    # ---- state ---------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything that changes the next decision, JSON-able: mixer, streams, tickets out.

        Groups that have arrived are not in it: after a resume the engine takes them in again, or
        gives up what it has lost.
        """
        return {
            "version": VERSION,
            "mixer": self.mixer.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self.streams.items()},
            "tickets": self._book.state_dict(),
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

        self._book.load_state_dict(state["tickets"])
        self._needs = None
        self._counts = Counter({name: int(count) for name, count in state["counts"].items()})

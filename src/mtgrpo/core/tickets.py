"""Tickets: which prompts are out, which of them the batch waits for, and what has come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mtgrpo.core.types import Draw, Group, Ints, State
from mtgrpo.errors import StateError


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


class Outstanding(NamedTuple):
    """What is remembered of a ticket until its group is told or given up.

    Attributes:
        task: Name of its task.
        step: The mixer's step when it was handed out.
        draw: How its prompt was drawn.
    """

    task: str
    step: int
    draw: Draw


class TicketBook:
    """The tickets of a run that are out: asked for by the batch, or ahead of any request.

    Args:
        tasks: Task names.

    Attributes:
        num_tickets: Tickets handed out so far.
        queue: Tasks of the prompts that were asked for and not handed out yet.
        out: Tickets that were neither told nor given up, by number.
        asked: Numbers of those the batch waits for, whether they have come back or not.
        arrived: Groups that have come back, by number.
        num_ahead: Tickets ahead of any request, of shape (K,).
        num_awaited: Tickets that were asked for and have not come back, of shape (K,).
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self._index = {task: i for i, task in enumerate(tasks)}
        self.num_tickets = 0
        self._clear()

    def _clear(self) -> None:
        self.queue: deque[str] = deque()
        self.out: dict[int, Outstanding] = {}
        self.asked: set[int] = set()
        self.arrived: dict[int, Group] = {}
        self._ahead: dict[str, dict[int, None]] = {task: {} for task in self._index}  # oldest first

        self.num_ahead: Ints = np.zeros(len(self._index), dtype=np.int64)
        self.num_awaited: Ints = np.zeros_like(self.num_ahead)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(queued={len(self.queue)}, asked={len(self.asked)}, "
            f"ahead={int(self.num_ahead.sum())}, arrived={len(self.arrived)})"
        )

    # ---- out -----------------------------------------------------------------------------------
    def hand_out(self, task: str, step: int, draw: Draw, *, asked: bool) -> int:
        """The number of a new ticket."""
        number = self.num_tickets
        self.num_tickets += 1

        self.out[number] = Outstanding(task, step, draw)
        self._enter(number, asked)
        return number

    def _enter(self, number: int, asked: bool) -> None:
        task = self.out[number].task
        if asked:
            self.asked.add(number)
            self.num_awaited[self._index[task]] += number not in self.arrived
        else:
            self._ahead[task][number] = None
            self.num_ahead[self._index[task]] += 1

    def request(self, task: str, count: int) -> None:
        """Have that many groups of a task: the oldest tickets ahead, new prompts for the rest."""
        claimed = list(self._ahead[task])[:count]
        for number in claimed:
            self._leave(number)
            self._enter(number, asked=True)
        self.queue.extend([task] * (count - len(claimed)))

    # ---- back ----------------------------------------------------------------------------------
    def take(self, number: int, group: Group) -> bool:
        """Keep a group that has come back; False when its ticket is not out any more.

        Raises:
            StateError: The ticket is another task's.
        """
        out = self.out.get(number)
        if out is None:
            return False
        if out.task != group.task:
            raise StateError(
                f"ledger: ticket {number} is of task {out.task!r}, its group of {group.task!r}"
            )

        is_first = number not in self.arrived
        self.arrived[number] = replace(group, draw=out.draw)
        if number in self.asked:
            self.num_awaited[self._index[out.task]] -= is_first
        return True

    def drop(self, number: int) -> bool:
        """Forget a ticket that is out; whether the batch had asked for it."""
        was_asked = number in self.asked
        self._leave(number)
        del self.out[number]
        self.arrived.pop(number, None)
        return was_asked

    def _leave(self, number: int) -> None:
        task = self.out[number].task
        if number in self.asked:
            self.asked.remove(number)
            self.num_awaited[self._index[task]] -= number not in self.arrived
        else:
            del self._ahead[task][number]
            self.num_ahead[self._index[task]] -= 1

    def take_round(self) -> list[Group]:
        """The groups that were asked for, in the order their prompts were handed out; forgets them.

        The order is not that of arrival, as short completions finish first.
        """
        numbers = sorted(self.asked)
        groups = [self.arrived[number] for number in numbers]
        for number in numbers:
            self.drop(number)

        self.queue.clear()  # the batch repeats what is still outstanding
        return groups

    # ---- state ---------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything but the groups that have arrived, JSON-able."""
        return {
            "num_tickets": self.num_tickets,
            "queue": list(self.queue),
            "out": [[n, out.task, out.step, list(out.draw)] for n, out in self.out.items()],
            "asked": sorted(self.asked),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned; nothing has arrived then."""
        self._clear()
        self.num_tickets = int(state["num_tickets"])
        self.queue.extend(state["queue"])
        for number, task, step, draw in state["out"]:
            self.out[number] = Outstanding(task, step, Draw(*draw))

        asked = set(state["asked"])
        for number in self.out:
            self._enter(number, number in asked)

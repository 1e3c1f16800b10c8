"""Batches with the wanted shares out of groups that come back late, in any order, or not at all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtgrpo.core.batch import Batch
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.starvation import StarvationWatch
from mtgrpo.core.tickets import Ticket
from mtgrpo.core.types import Group, State
from mtgrpo.errors import StateError, counted

KEPT = 8
"""Steps whose states and metrics are kept: the trainer is at most a few steps behind."""

logger = logging.getLogger("mtgrpo")


@dataclass(frozen=True, slots=True)
class MadeBatch:
    """What the trainer trains on in one step.

    Attributes:
        step: Number of the step, from 1 on.
        samples: TRL's `RolloutSample`s, group by group; as many in each step.
        quotas: Groups wanted per task; None for a batch without quotas.
        groups: Groups trained on per task, without those that only fill up.
    """

    step: int
    samples: list[Any]
    quotas: dict[str, int] | None
    groups: dict[str, int]


class BatchMaker:
    """Hands out prompts, takes groups in any order and makes the batches of the steps.

    A batch is trained on at a known version of the policy, so how old a group will be is known when
    it comes back. What would be older than its task allows is given up, and replaced by another
    prompt of the same task: shares do not move with latencies.

    Args:
        ledger: Deals the prompts and fills the batches.
        max_staleness: Versions of the policy by which a group of each task may lag.
        group_size: Completions per prompt, G.
        rows_at_once: Rows of a forward pass, on all processes together.
        scale_loss: Whether each task's share of the loss is made its target.
        version_at: The version of the policy that a step, from 0 on, is trained at.

    Attributes:
        watch: Which tasks starve.
    """

    def __init__(
        self,
        ledger: RolloutLedger,
        max_staleness: Mapping[str, int],
        *,
        group_size: int,
        rows_at_once: int,
        scale_loss: bool,
        version_at: Callable[[int], int],
    ) -> None:
        self.ledger, self.max_staleness = ledger, dict(max_staleness)
        self.group_size, self.rows_at_once = group_size, rows_at_once
        self.scale_loss, self.version_at = scale_loss, version_at

        tasks = ledger.mixer.tasks
        self.watch = StarvationWatch(tasks, patience=2 * ledger.mixer.batch_size)
        self._versions: dict[int, int] = {}  # of the tickets that are out
        self._lags: dict[int, int] = {}  # of the groups that were told
        self._lost: dict[str, Counter[str]] = {task: Counter() for task in tasks}
        self._states: dict[int, State] = {ledger.mixer.step: ledger.state_dict()}
        self._metrics: dict[int, dict[str, float]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ledger!r})"

    # ---- prompts -------------------------------------------------------------------------------
    def next_prompt(self, version: int) -> Ticket:
        """The next prompt to roll out, by the policy of this version."""
        ticket = self.ledger.next_prompt()
        self._versions[ticket.number] = version
        return ticket

    def awaits(self, number: int) -> bool:
        """Whether a group is still of use."""
        return self.ledger.task(number) is not None

    # ---- groups --------------------------------------------------------------------------------
    def take(self, number: int, group: Group) -> None:
        """Take a group that has come back; one that is of no use any more is passed over."""
        if not self.awaits(number):
            return

        self.watch.came_back(group.task)
        self.ledger.take(number, replace(group, uid=number))

    def give_up(self, number: int, reason: str) -> None:
        """Give up a prompt; the ledger deals another of its task, where the batch needs one.

        Args:
            number: Of its ticket; nothing happens if it is not out any more.
            reason: ``"failed"`` or ``"stale"``.

        Raises:
            RewardError: As `RolloutLedger.give_up`.
        """
        task = self.ledger.task(number)
        if task is None:
            return

        self._lost[task][reason] += 1
        self._versions.pop(number, None)
        # What is too old ahead of its batch, or has come back and waits for others, starves nobody.
        is_late = number in self.ledger.asked and number not in self.ledger.arrived
        if (is_late or reason == "failed") and self.watch.given_up(task):
            lost = ", ".join(f"{count} {kind}" for kind, count in sorted(self._lost[task].items()))
            logger.warning(
                "task %r starves: %s in a row did not come back in time (since the last batch: "
                "%s); the batch of step %d waits for it; raise its max_staleness or its timeout, "
                "or look into its failures",
                task,
                counted(self.watch.patience, "prompt"),
                lost,
                self.ledger.mixer.step + 1,
            )
        self.ledger.give_up([number], reason)

    # ---- batches -------------------------------------------------------------------------------
    def fill(self) -> bool:
        """Tell the batch what has come back; whether it is final."""
        self._expire()
        while self.ledger.is_complete:
            self._note_lags()
            self.ledger.settle()
        return self.ledger.done

    def make(self) -> MadeBatch:
        """Close the final batch: the weights move, and the next prompt opens the next one.

        Raises:
            StateError: The batch is still being filled, or not one group was generated for it.
        """
        batch, size = self.ledger.batch, self.ledger.mixer.batch_size
        groups = sorted(batch.groups, key=lambda group: group.uid)
        samples = [sample for group in groups for sample in group.payload]
        samples += self._filling(batch, size - len(groups))

        samples, figures = self._with_loss_shares(batch, samples, groups)
        figures |= self._figures(groups)
        figures["sampler/padded"] = size - len(groups)
        quotas = batch.quotas

        metrics = self.ledger.close() | figures
        step = self.ledger.mixer.step
        self._remember(step, metrics)
        made = dict(Counter(group.task for group in groups))
        return MadeBatch(step, samples, quotas, made)

    def _expire(self) -> None:
        # The open batch, or else the next one.
        due = self.version_at(self.ledger.mixer.step)
        for number, version in list(self._versions.items()):
            task = self.ledger.task(number)
            if task is None:
                del self._versions[number]
            elif due - version > self.max_staleness[task]:
                self.give_up(number, "stale")

    def _note_lags(self) -> None:
        due = self.version_at(self.ledger.mixer.step)
        for number in self.ledger.asked & self._versions.keys():
            self._lags[number] = due - self._versions.pop(number)

    def _filling(self, batch: Batch, missing: int) -> list[Any]:
        """Samples of advantage 0 in the place of groups that a short batch lacks."""
        if not missing:
            return []

        pool = [*batch.padding(missing), *batch.surplus] or batch.groups
        if not pool:
            raise StateError(
                f"step {self.ledger.mixer.step + 1}: not one group was generated for its batch; "
                "the sampler's planner asked for none"
            )
        chosen = [pool[i % len(pool)] for i in range(missing)]
        return [replace(sample, advantage=0.0) for group in chosen for sample in group.payload]

    # ---- shares of the loss --------------------------------------------------------------------
    def _with_loss_shares(
        self, batch: Batch, samples: list[Any], groups: list[Group]
    ) -> tuple[list[Any], dict[str, float]]:
        """The samples, scaled where that is asked for, and what to log of the shares."""
        tasks = [group.task for group in groups for _ in range(self.group_size)]
        trains = [any(sample.advantage for sample in group.payload) for group in groups]

        targets = batch.loss_targets
        masses = dict.fromkeys(targets, 0.0)
        weights = self._row_weights(samples)
        for row, task in enumerate(tasks):
            masses[task] += weights[row] * trains[row // self.group_size]
        counts = Counter(
            group.task for group, is_used in zip(groups, trains, strict=True) if is_used
        )

        shares = balance_loss(targets, counts, masses)
        now = shares.after if self.scale_loss else shares.before
        if self.scale_loss:
            scaled = [
                replace(sample, advantage=sample.advantage * shares.factors[task])
                for sample, task in zip(samples, tasks, strict=False)
            ]
            samples = scaled + samples[len(scaled) :]

        batch.tell_loss_shares(now)
        return samples, shares.metrics(exact=self.scale_loss)

    def _row_weights(self, samples: list[Any]) -> list[float]:
        """What each row weighs in TRL's loss, a mean over the tokens of each forward pass."""
        tokens = [float(sample.completion_mask.sum()) for sample in samples]
        weights: list[float] = []
        for start in range(0, len(tokens), self.rows_at_once):
            part = tokens[start : start + self.rows_at_once]
            weights += [count / max(1.0, sum(part)) for count in part]
        return weights

    # ---- what is kept of a step ----------------------------------------------------------------
    def _figures(self, groups: list[Group]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for task, lost in self._lost.items():
            figures[f"task/{task}/stale"] = lost["stale"]
            figures[f"task/{task}/failed"] = lost["failed"]
            lags = [self._lags[int(g.uid)] for g in groups if g.task == task]
            if lags:
                figures[f"task/{task}/staleness"] = sum(lags) / len(lags)

            lost.clear()
        figures["sampler/starving"] = len(self.watch.starving)
        self._lags.clear()
        return figures

    def _remember(self, step: int, metrics: dict[str, float]) -> None:
        self._metrics[step], self._states[step] = metrics, self.ledger.state_dict()
        for kept in (self._metrics, self._states):
            for old in [number for number in kept if number <= step - KEPT]:
                del kept[old]

    def metrics(self, step: int) -> dict[str, float]:
        """What there is to log of a step; nothing for one long past."""
        return self._metrics.get(step, {})

    def state_dict(self, step: int) -> State:
        """The ledger as it was when the batch of a step was closed, JSON-able.

        Raises:
            StateError: It is not kept any more, or the step is still to come.
        """
        if step not in self._states:
            raise StateError(
                f"step {step}: its state is not kept; those of steps {min(self._states)} to "
                f"{max(self._states)} are"
            )
        return self._states[step]

    def load_state_dict(self, state: State) -> None:
        """Go on after a saved step, with new prompts: those that were out are lost."""
        self.ledger.load_state_dict(state)
        self.ledger.discard_ahead()
        self._versions.clear()
        self._states = {self.ledger.mixer.step: self.ledger.state_dict()}

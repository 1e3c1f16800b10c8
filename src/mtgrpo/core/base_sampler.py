"""What all samplers are to the mixer: made without tasks, bound once, a batch for each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from mtgrpo.core import quota_rules
from mtgrpo.core.acceptance import AcceptanceEstimate, CountedAcceptance
from mtgrpo.core.bank import SurplusBank
from mtgrpo.core.batch import Batch
from mtgrpo.core.described import Described
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.filters import GroupFilter, get_filter
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, Ints, State, check_task_names
from mtgrpo.errors import ConfigError, StateError, unknown


class Sampler(Described, ABC):
    """A rule for what a step asks for and which groups it trains on.

    Class attributes:
        needs_loss_shares: The tasks' shares are made in the loss: the engine must scale it.

    Args:
        group_filter: Name in `mtgrpo.core.filters.FILTERS`, or a function ``Group -> Verdict``.
        acceptance: Estimate of acceptance rates; default `CountedAcceptance()`.
        max_staleness: Steps for which surplus groups are banked.

    Attributes:
        bank: Surplus groups that wait for a later step.
    """

    needs_loss_shares: ClassVar[bool] = False

    def __init__(
        self,
        group_filter: str | GroupFilter,
        acceptance: AcceptanceEstimate | None,
        max_staleness: int = 0,
    ) -> None:
        self.group_filter_ = group_filter
        self.group_filter = get_filter(group_filter)
        self.acceptance = acceptance or CountedAcceptance()

        self.max_staleness = max_staleness
        self.bank = SurplusBank(max_staleness)
        self._rules: FillRules | None = None  # fixed by `bind`
        self._offset: float | None = None  # of systematic counts; drawn with the first batch

    @property
    def tasks(self) -> tuple[str, ...]:
        """The bound tasks, in order; empty before `bind`."""
        return () if self._rules is None else self._rules.tasks

    @property
    def batch_size(self) -> int:
        """B, the groups of a full batch; 0 before `bind`."""
        return 0 if self._rules is None else self._rules.batch_size

    def bind(
        self, tasks: tuple[str, ...], batch_size: int, families: Mapping[str, str] | None = None
    ) -> Sampler:
        """Fix tasks and batch size. Done once, by the mixer.

        Args:
            tasks: Task names.
            batch_size: Groups of a full batch.
            families: Family of each task that has one; what is known of a family serves
                its tasks.

        Raises:
            ConfigError: Bad names, or a batch size below 1.
            StateError: Already bound.
        """
        if self._rules is not None:
            raise StateError("sampler: already in use by another mixer; make a new one for each")

        if batch_size < 1:
            raise ConfigError(f"batch_size: {batch_size} groups; at least 1 is needed")

        names = check_task_names(tasks, "sampler")
        self.acceptance.bind(len(names), family_numbers(names, families))
        self._rules = self._make_rules(names, batch_size)
        return self

    def change_tasks(self, change: TaskChange, families: Mapping[str, str] | None = None) -> None:
        """Go on with other tasks. Done by the mixer, between two batches.

        Args:
            change: Which ones. What is known of those that stay is kept, and their banked groups.
            families: As `bind`, of the tasks after.

        Raises:
            ConfigError: A family for a task that is not there.
        """
        numbers = family_numbers(change.after, families)
        self._rules = replace(self._bound(), tasks=change.after)
        self.acceptance.change_tasks(change, numbers)
        self.bank.keep_tasks(change.after)

    @abstractmethod
    def _make_rules(self, tasks: tuple[str, ...], batch_size: int) -> FillRules:
        """What all its batches have in common."""

    def _bound(self) -> FillRules:
        if self._rules is None:
            raise StateError("sampler: not bound to tasks yet; give it to a TaskMixer")
        return self._rules

    @abstractmethod
    def new_batch(self, weights: Floats, step: int, rng: np.random.Generator) -> Batch:
        """A batch to fill under these weights (a point of the simplex, in task order)."""

    @abstractmethod
    def restore_batch(self, state: State, rng: np.random.Generator) -> Batch:
        """The batch that was open when `Batch.state_dict` returned this; load the sampler first."""

    def close(self, batch: Batch, step: int) -> None:
        """End a step. Called by the mixer."""
        self.bank.deposit(batch.surplus, step)
        self.acceptance.end_step()

    def stop_banking(self) -> None:
        """Bank no surplus from now on: for engines that cannot train on groups of earlier steps."""
        self.max_staleness = self.bank.max_staleness = 0

    def owed(self) -> dict[str, float] | None:
        """What each task is owed of the loss; None where shares are not made in the loss."""
        return None

    @property
    def debts_within_limit(self) -> bool | None:
        """Whether the last step forgave nothing; None unless shares are the weights over steps."""
        return None

    def _systematic(self, weights: Floats, total: float, rng: np.random.Generator) -> Ints:
        # Counts that sum to `total`, of least variance over the steps.
        start = rng.random() if self._offset is None else self._offset + quota_rules.GOLDEN_STEP
        self._offset = start % 1.0
        return quota_rules.systematic(weights, total, self._offset)

    def state_dict(self) -> State:
        """Acceptance estimate, offset of the counts and bank."""
        return {
            "estimate": type(self.acceptance).__name__,
            "acceptance": self.acceptance.state_dict(),
            "offset": self._offset,
            "bank": self.bank.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: Saved with another kind of sampler or acceptance estimate.
        """
        if state.keys() != self.state_dict().keys():
            raise StateError(
                f"sampler: the state was saved by another kind than {type(self).__name__}; "
                "resume with the sampler the run was started with"
            )

        kind = type(self.acceptance).__name__
        if state["estimate"] != kind:
            raise StateError(
                f"sampler: the state was saved with {state['estimate']}, this is {kind}; "
                "resume with the acceptance estimate the run was started with"
            )

        self.acceptance.load_state_dict(state["acceptance"])
        self._offset = None if state["offset"] is None else float(state["offset"])
        self.bank.load_state_dict(state["bank"])


def family_numbers(tasks: tuple[str, ...], families: Mapping[str, str] | None) -> list[int] | None:
    """The family of each task as a number from 0; None where there are no families.

    Tasks without a family form one of their own, all together.

    Raises:
        ConfigError: A family for a task that is not there.
    """
    if not families:
        return None

    for task in families:
        if task not in tasks:
            raise ConfigError(unknown("families", "task", task, tasks))

    numbers: dict[str, int] = {}
    return [numbers.setdefault(families.get(task, ""), len(numbers)) for task in tasks]

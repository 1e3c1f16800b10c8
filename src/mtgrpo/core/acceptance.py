"""Estimates of the acceptance rate ``a_k``: the share of task k's groups that pass the filter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, Ints, State
from mtgrpo.errors import ConfigError, unknown


class AcceptanceEstimate(Described, ABC):
    """One rate per task, fed with the counts of each round. Starts optimistic: every rate is 1.

    Class attributes:
        per_task: Names of the attributes that are arrays of shape (K,). An estimate that states
            them can go on with other tasks: those that stay keep their entries, new ones get the
            mean of these. Whatever else depends on the tasks is for `change_tasks`. None refuses
            other tasks.
    """

    per_task: ClassVar[tuple[str, ...] | None] = None

    @abstractmethod
    def bind(self, num_tasks: int, families: Sequence[int] | None = None) -> None:
        """Start afresh.

        Args:
            num_tasks: K.
            families: Number of the family of each task; None when they have none.
        """

    def change_tasks(self, change: TaskChange, families: Sequence[int] | None = None) -> None:
        """Go on with other tasks. What is known of those that stay is kept.

        Args:
            change: Which ones.
            families: As `bind`, of the tasks after.
        """
        self._carry(change, {})

    def _carry(self, change: TaskChange, new: Mapping[str, float]) -> None:
        # The arrays, with the entries that new tasks have; by default the mean of the others.
        change.carry(self, self.per_task or (), new)

    def check_changeable(self) -> None:
        """Refuse a change of tasks, if this estimate knows of none.

        Raises:
            ConfigError: It does not state `per_task`.
        """
        if self.per_task is None:
            name = type(self).__name__
            raise ConfigError(
                f"{name}: its tasks cannot change; to allow it, name its arrays of shape (K,) in "
                f"{name}.per_task, or keep the same tasks"
            )

    @abstractmethod
    def observe(self, generated: Ints, accepted: Ints | Floats) -> None:
        """Take in a round. Tasks without groups keep their rate.

        Args:
            generated: Groups generated per task, shape (K,).
            accepted: Groups accepted among those; with probes an estimate, which may be more.
        """

    def end_step(self) -> None:
        """Called by the mixer when a step is closed."""

    @abstractmethod
    def rates(self) -> Floats:
        """The estimated acceptance rates, in [0, 1], in task order."""

    @abstractmethod
    def evidence(self) -> Floats:
        """Groups' worth of evidence behind each rate; infinite where no error is claimed."""

    @abstractmethod
    def state_dict(self) -> State:
        """JSON-able state."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""


class CountedAcceptance(AcceptanceEstimate):
    """Accepted over generated, older steps fading, each step weighing as many groups as it had.

    ``a_k = (accepted_k + prior * a_family) / (generated_k + prior)``: the posterior
    mean under a beta prior, whose mean is the rate of the task's family, which in turn
    leans on that of all tasks, which starts at 1. So one group says less than thirty, a
    new task is taken for one like its family, and of a thousand tasks each is known
    after a few.

    Args:
        decay: What a count keeps of its weight per further step in which its task was
            sampled, in [0, 1).
        prior: Weight, in groups, of the family's rate.
    """

    per_task = ("_generated", "_accepted", "_was_seen")

    def __init__(self, decay: float = 0.8, prior: float = 2.0) -> None:
        if not (0 <= decay < 1 and 0 < prior < np.inf):
            raise ConfigError(
                f"CountedAcceptance: decay={decay}, prior={prior}; "
                "decay must be in [0, 1) and prior above 0"
            )
        self.decay, self.prior = decay, prior
        self.bind(0)

    def bind(self, num_tasks: int, families: Sequence[int] | None = None) -> None:
        self._generated, self._accepted = np.zeros(num_tasks), np.zeros(num_tasks)
        self._was_seen = np.zeros(num_tasks, dtype=bool)  # in the step under way
        self._set_families(num_tasks, families)

    def _set_families(self, num_tasks: int, families: Sequence[int] | None) -> None:
        numbers = [0] * num_tasks if families is None else families
        self._families = np.array(numbers, dtype=np.int64)

    def change_tasks(self, change: TaskChange, families: Sequence[int] | None = None) -> None:
        # Without groups of its own a task has the rate of its family.
        self._carry(change, {"_generated": 0.0, "_accepted": 0.0, "_was_seen": 0.0})
        self._set_families(len(change.after), families)

    def observe(self, generated: Ints, accepted: Ints | Floats) -> None:
        # What a step finds fades with the next one: its rounds come from one policy and
        # count alike.
        is_first = (generated > 0) & ~self._was_seen
        fade = np.where(is_first, self.decay, 1.0)

        self._generated = self._generated * fade + generated
        self._accepted = self._accepted * fade + accepted
        self._was_seen |= generated > 0

    def end_step(self) -> None:
        self._was_seen[:] = False

    def rates(self) -> Floats:
        overall = (self._accepted.sum() + 1.0) / (self._generated.sum() + 1.0)

        accepted, generated = self._by_family(self._accepted), self._by_family(self._generated)
        families = self._posterior(accepted, generated, overall)

        rates = self._posterior(self._accepted, self._generated, families[self._families])
        return np.minimum(rates, 1.0)

    def _by_family(self, counts: Floats) -> Floats:
        return np.bincount(self._families, counts).astype(np.float64)

    def _posterior(self, accepted: Floats, generated: Floats, mean: Floats | float) -> Floats:
        return (accepted + self.prior * mean) / (generated + self.prior)

    def evidence(self) -> Floats:
        return self._generated + self.prior

    def state_dict(self) -> State:
        return {
            "generated": self._generated.tolist(),
            "accepted": self._accepted.tolist(),
            "was_seen": self._was_seen.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        self._generated = np.array(state["generated"], dtype=np.float64)
        self._accepted = np.array(state["accepted"], dtype=np.float64)
        self._was_seen = np.array(state["was_seen"], dtype=bool)


class EmaAcceptance(AcceptanceEstimate):
    """Moving average of the filtered share rho; ``a = 1 - rho``.

    ``rho <- decay rho + (1 - decay) rho_observed``, starting at 0.

    Args:
        decay: What rho keeps of its past per observation, in [0, 1).
        per: ``"round"``: each round is an observation, and the step's next round is
            sized by it. ``"step"``: rho stands still during a step, whose rounds
            together are one observation (paper).

    Source: paper, section 4.2 and Algorithm 2, where rho_t is given to a step; released
    code with decay 0.9.
    """

    per_task = ("_filtered_rate", "_generated", "_accepted")

    def __init__(self, decay: float = 0.9, per: str = "round") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"EmaAcceptance: decay={decay}; it must be in [0, 1)")
        if per not in ("round", "step"):
            raise ConfigError(unknown("EmaAcceptance", "per", per, ("round", "step")))

        self.decay, self.per = decay, per
        self.bind(0)

    def bind(self, num_tasks: int, families: Sequence[int] | None = None) -> None:
        self._filtered_rate = np.zeros(num_tasks)

        # The counts of the observation under way.
        self._generated: Ints = np.zeros(num_tasks, dtype=np.int64)
        self._accepted: Ints | Floats = np.zeros(num_tasks, dtype=np.int64)

    def change_tasks(self, change: TaskChange, families: Sequence[int] | None = None) -> None:
        self._carry(change, {"_generated": 0.0, "_accepted": 0.0})

    def observe(self, generated: Ints, accepted: Ints | Floats) -> None:
        self._generated = self._generated + generated
        self._accepted = self._accepted + accepted

        if self.per == "round":
            self._fold_in()

    def end_step(self) -> None:
        self._fold_in()

    def _fold_in(self) -> None:
        seen = self._generated > 0
        filtered = 1.0 - self._accepted[seen] / self._generated[seen]
        kept = self.decay * self._filtered_rate[seen]

        self._filtered_rate[seen] = kept + (1 - self.decay) * filtered
        self._generated = np.zeros_like(self._generated)
        self._accepted = np.zeros_like(self._accepted)

    def rates(self) -> Floats:
        return np.minimum(1.0 - self._filtered_rate, 1.0)

    def evidence(self) -> Floats:
        return np.full_like(self._filtered_rate, np.inf)

    def state_dict(self) -> State:
        return {
            "filtered_rate": self._filtered_rate.tolist(),
            "generated": self._generated.tolist(),
            "accepted": self._accepted.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        self._filtered_rate = np.array(state["filtered_rate"], dtype=np.float64)
        self._generated = np.array(state["generated"], dtype=np.int64)
        self._accepted = np.array(state["accepted"])  # whole numbers, or estimates

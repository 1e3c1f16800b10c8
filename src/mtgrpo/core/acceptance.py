"""Estimates of the acceptance rate ``a_k``: the share of task k's generated groups that pass the filter."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from mtgrpo.core.quotas import Floats, Ints
from mtgrpo.core.types import State
from mtgrpo.errors import ConfigError, unknown


class AcceptanceEstimate(ABC):
    """One rate per task, fed with the counts of each round. Starts optimistic: every rate is 1."""

    @abstractmethod
    def bind(self, num_tasks: int) -> None:
        """Start afresh for that many tasks."""

    @abstractmethod
    def observe(self, generated: Ints, accepted: Ints) -> None:
        """Take in a round: groups generated and accepted per task. Tasks without groups keep their rate."""

    def end_step(self) -> None:  # noqa: B027 - most estimates have nothing to do here
        """Called by the mixer when a step is closed."""

    @abstractmethod
    def rates(self) -> Floats:
        """The estimated acceptance rates, in [0, 1], in task order."""

    @abstractmethod
    def state_dict(self) -> State:
        """JSON-able state."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""


class CountedAcceptance(AcceptanceEstimate):
    """Accepted over generated, older rounds fading, each round weighing as many groups as it had.

    ``a = (prior + sum_i d^(n-i) accepted_i) / (prior + sum_i d^(n-i) generated_i)``: one group says less than
    thirty, which a plain moving average ignores.

    Args:
        decay: d, what a count keeps of its weight per further round of that task, in [0, 1).
        prior: Weight, in groups, of the optimistic start.
    """

    def __init__(self, decay: float = 0.8, prior: float = 1.0) -> None:
        if not (0 <= decay < 1 and 0 < prior < np.inf):
            raise ConfigError(
                f"CountedAcceptance: decay={decay}, prior={prior}; decay must be in [0, 1) and prior above 0"
            )
        self.decay, self.prior = decay, prior
        self.bind(0)

    def bind(self, num_tasks: int) -> None:
        self._generated, self._accepted = np.zeros(num_tasks), np.zeros(num_tasks)

    def observe(self, generated: Ints, accepted: Ints) -> None:
        seen = generated > 0
        fade = np.where(seen, self.decay, 1.0)
        self._generated = self._generated * fade + generated
        self._accepted = self._accepted * fade + accepted

    def rates(self) -> Floats:
        return (self._accepted + self.prior) / (self._generated + self.prior)

    def state_dict(self) -> State:
        return {"generated": self._generated.tolist(), "accepted": self._accepted.tolist()}

    def load_state_dict(self, state: State) -> None:
        self._generated = np.array(state["generated"], dtype=np.float64)
        self._accepted = np.array(state["accepted"], dtype=np.float64)


class EmaAcceptance(AcceptanceEstimate):
    """Moving average of the filtered share: ``rho <- decay rho + (1 - decay) rho_observed``, ``a = 1 - rho``.

    Args:
        decay: What rho keeps of its past per observation, in [0, 1).
        per: ``"round"``: each round is an observation, and the step's next round is sized by it. ``"step"``: rho
            stands still during a step, whose rounds together are one observation (paper).

    Source: paper, section 4.2 and Algorithm 2, where rho_t is given to a step; released code with decay 0.9,
    starting at rho = 0.
    """

    def __init__(self, decay: float = 0.9, per: str = "round") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"EmaAcceptance: decay={decay}; it must be in [0, 1)")
        if per not in ("round", "step"):
            raise ConfigError(unknown("EmaAcceptance", "per", per, ("round", "step")))
        self.decay, self.per = decay, per
        self.bind(0)

    def bind(self, num_tasks: int) -> None:
        self._filtered_rate = np.zeros(num_tasks)
        self._generated: Ints = np.zeros(num_tasks, dtype=np.int64)  # of the observation under way
        self._accepted: Ints = np.zeros(num_tasks, dtype=np.int64)

    def observe(self, generated: Ints, accepted: Ints) -> None:
        self._generated, self._accepted = self._generated + generated, self._accepted + accepted
        if self.per == "round":
            self._fold_in()

    def end_step(self) -> None:
        self._fold_in()

    def _fold_in(self) -> None:
        seen = self._generated > 0
        filtered = 1.0 - self._accepted[seen] / self._generated[seen]
        self._filtered_rate[seen] = self.decay * self._filtered_rate[seen] + (1 - self.decay) * filtered
        self._generated, self._accepted = np.zeros_like(self._generated), np.zeros_like(self._accepted)

    def rates(self) -> Floats:
        return 1.0 - self._filtered_rate

    def state_dict(self) -> State:
        return {
            "filtered_rate": self._filtered_rate.tolist(),
            "generated": self._generated.tolist(),
            "accepted": self._accepted.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        self._filtered_rate = np.array(state["filtered_rate"], dtype=np.float64)
        self._generated = np.array(state["generated"], dtype=np.int64)
        self._accepted = np.array(state["accepted"], dtype=np.int64)

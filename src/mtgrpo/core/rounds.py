"""How many prompts of each task the next round asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mtgrpo.core.quotas import Floats, Ints
from mtgrpo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RoundView:
    """What a planner may look at. Arrays are in task order.

    Attributes:
        number: 0 for the step's first round.
        batch_size: B, groups wanted in all.
        weights: z, the task weights of this step.
        quotas: Groups wanted per task; None when the batch is filled from any task.
        accepted: Groups accepted so far per task.
        acceptance_rates: Estimated a_k.
    """

    number: int
    batch_size: int
    weights: Floats
    quotas: Ints | None
    accepted: Ints
    acceptance_rates: Floats

    @property
    def num_missing(self) -> int:
        """Groups still missing from the whole batch, whatever their task."""
        return max(0, self.batch_size - int(self.accepted.sum()))

    @property
    def deficits(self) -> Ints:
        """``max(n_k - c_k, 0)`` per task; all zero when the batch is filled from any task."""
        if self.quotas is None:
            return np.zeros_like(self.accepted)
        return np.maximum(self.quotas - self.accepted, 0)


class RoundPlanner(ABC):
    """A rule for the size and make-up of a round."""

    @abstractmethod
    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        """Prompts to roll out per task; at least one in all whenever something is missing."""


class NeededRounds(RoundPlanner):
    """Ask for what is missing, inflated by how often the task's groups are dropped. The default.

    Per task ``ceil(deficit * min(1/a, max_inflation) * oversampling)``: no task that needs nothing is asked.

    Args:
        oversampling: Factor on the expected need; above 1 trades rollouts for fewer rounds.
        max_inflation: Cap of ``1/a`` (the paper's M_acc).
    """

    def __init__(self, oversampling: float = 1.0, max_inflation: float = 5.0) -> None:
        _check_factors("NeededRounds", oversampling, max_inflation)
        self.oversampling, self.max_inflation = oversampling, max_inflation

    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        factor = _inflation(view.acceptance_rates, self.max_inflation) * self.oversampling
        # The epsilon keeps 4 * 1.25 = 5.000000000000001 from asking for a sixth prompt.
        if view.quotas is not None and view.deficits.any():
            return np.ceil(view.deficits * factor - 1e-9).astype(np.int64)
        total = int(np.ceil(view.num_missing * float(view.weights @ factor) - 1e-9))
        return rng.multinomial(total, view.weights / view.weights.sum())


class OversampledRounds(RoundPlanner):
    """Always ``oversampling * B`` prompts, drawn at random (paper, Algorithm 2).

    The first round draws from ``z_k m_k`` with the inflation ``m_k = min(1/a_k, max_inflation)``, later ones from
    ``deficit_k m_k``. Without quotas (DAPO) every round draws from ``z_k m_k``.

    Args:
        oversampling: M_os.
        max_inflation: M_acc; 1 switches acceptance-awareness off.
        refill: ``"deficit"`` as in the paper; ``"same_until_full"`` as in the released code, which repeats the
            first round's distribution until B groups of any task are accepted, and only then looks at deficits.
    """

    def __init__(self, oversampling: float = 3.0, max_inflation: float = 5.0, refill: str = "deficit") -> None:
        _check_factors("OversampledRounds", oversampling, max_inflation)
        if refill not in ("deficit", "same_until_full"):
            raise ConfigError(f"OversampledRounds: refill={refill!r}; allowed: deficit, same_until_full")
        self.oversampling, self.max_inflation, self.refill = oversampling, max_inflation, refill

    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        deficits = view.deficits
        by_deficit = deficits.any() and (view.num_missing == 0 if self.refill == "same_until_full" else view.number > 0)
        shares = (deficits if by_deficit else view.weights) * _inflation(view.acceptance_rates, self.max_inflation)
        return rng.multinomial(round(self.oversampling * view.batch_size), shares / shares.sum())


def _inflation(acceptance_rates: Floats, most: float) -> Floats:
    return 1.0 / np.maximum(acceptance_rates, 1.0 / most)


def _check_factors(where: str, oversampling: float, max_inflation: float) -> None:
    if not (1 <= oversampling < np.inf and 1 <= max_inflation < np.inf):
        raise ConfigError(
            f"{where}: oversampling={oversampling}, max_inflation={max_inflation}; both must be finite and at least 1"
        )

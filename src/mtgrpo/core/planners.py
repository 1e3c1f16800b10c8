"""How many prompts of each task the next round asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.types import Floats, Ints
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
        evidence: Groups' worth of evidence behind each a_k; infinite where an estimate
            claims no error.
        room: Groups beyond its deficit that a task could still bank for the next step;
            0 without a bank.
    """

    number: int
    batch_size: int
    weights: Floats
    quotas: Ints | None
    accepted: Ints
    acceptance_rates: Floats
    evidence: Floats
    room: Floats

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


class RoundPlanner(Described, ABC):
    """A rule for the size and make-up of a round."""

    @abstractmethod
    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        """Prompts to roll out per task; at least one in all whenever something is missing."""


class NeededRounds(RoundPlanner):
    """Per task the fewest prompts that fill its deficit with a stated probability. The default.

    How many of m prompts give an informative group is beta-binomial: ``m a`` on
    average, with a variance from chance and from not knowing a, ``m a (1 - a) (1 + (m -
    1) / (n + 1))`` after n groups' worth of evidence. Its normal approximation is
    solved for m. A task asks beyond its mean need ``deficit / a`` only as far as the
    surplus can be banked for the next step: otherwise it would pay for groups that are
    thrown away.

    Args:
        confidence: Probability that a round fills the deficit, in [0.5, 1). One half asks for
            the mean need: fewest groups, more rounds.
        max_inflation: Upper limit of ``1/a`` (the paper's M_acc).

    Source: own; the posterior is that of a Bernoulli rate under a beta prior.
    """

    def __init__(self, confidence: float = 0.5, max_inflation: float = 5.0) -> None:
        _check_factors("NeededRounds", max_inflation=max_inflation)
        if not 0.5 <= confidence < 1:
            raise ConfigError(f"NeededRounds: confidence={confidence}; it must be in [0.5, 1)")

        self.confidence, self.max_inflation = confidence, max_inflation
        self._quantile = NormalDist().inv_cdf(confidence)

    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        rates = 1.0 / _inflation(view.acceptance_rates, self.max_inflation)
        if view.quotas is not None and view.deficits.any():
            return self._for_quotas(view, rates)

        # A prompt of a random task gives a group with probability z @ a. The epsilon keeps a
        # quotient of 5.000000000000001 from asking for a sixth prompt.
        total = int(np.ceil(view.num_missing / float(view.weights @ rates) - 1e-9))
        return rng.multinomial(total, view.weights / view.weights.sum())

    def _for_quotas(self, view: RoundView, rates: Floats) -> Ints:
        deficits = view.deficits.astype(np.float64)
        wanted = _prompts_for(deficits, rates, view.evidence, self._quantile)
        wanted = np.minimum(wanted, (deficits + view.room) / rates)

        # To the nearest, or a task of which one group is wanted at a = .9 would always
        # ask for two.
        whole = np.maximum(deficits, np.floor(wanted + 0.5))
        return np.where(deficits > 0, whole, 0).astype(np.int64)


def _prompts_for(deficits: Floats, rates: Floats, evidence: Floats, quantile: float) -> Floats:
    """m with ``m a - quantile sqrt(variance(m)) = deficit``; infinite where no m reaches that.

    Squared, it is ``square m^2 - linear m + deficit^2 = 0``, of which m is the larger
    root.
    """
    spread = quantile**2 * rates * (1 - rates)
    known = 1.0 / (evidence + 1.0)  # share of the variance that more prompts do not average out

    square = rates**2 - spread * known
    linear = 2 * rates * deficits + spread * (1 - known)
    root = np.sqrt(np.maximum(linear**2 - 4 * square * deficits**2, 0.0))

    is_reached = square > 1e-12
    return np.where(is_reached, (linear + root) / (2 * np.where(is_reached, square, 1.0)), np.inf)


class OversampledRounds(RoundPlanner):
    """Always ``oversampling * B`` prompts, drawn at random.

    The first round draws from ``z_k m_k`` with the inflation ``m_k = min(1/a_k,
    max_inflation)``, later ones from ``deficit_k m_k``. Without quotas (DAPO) every
    round draws from ``z_k m_k``.

    Args:
        oversampling: M_os.
        max_inflation: M_acc; 1 switches acceptance-awareness off.
        refill: ``"deficit"`` as in the paper; ``"same_until_full"`` as in the released
            code, which repeats the first round's distribution until B groups of any
            task are accepted, and only then looks at deficits.

    Source: paper, Algorithm 2.
    """

    def __init__(
        self, oversampling: float = 3.0, max_inflation: float = 5.0, refill: str = "deficit"
    ) -> None:
        _check_factors("OversampledRounds", oversampling=oversampling, max_inflation=max_inflation)
        if refill not in ("deficit", "same_until_full"):
            raise ConfigError(
                f"OversampledRounds: refill={refill!r}; allowed: deficit, same_until_full"
            )
        self.oversampling, self.max_inflation, self.refill = oversampling, max_inflation, refill

    def plan(self, view: RoundView, rng: np.random.Generator) -> Ints:
        deficits = view.deficits
        shares = deficits if self._is_refill(view) and deficits.any() else view.weights
        inflated = shares * _inflation(view.acceptance_rates, self.max_inflation)

        total = round(self.oversampling * view.batch_size)
        return rng.multinomial(total, inflated / inflated.sum())

    def _is_refill(self, view: RoundView) -> bool:
        if self.refill == "same_until_full":
            return view.num_missing == 0
        return view.number > 0


def _inflation(acceptance_rates: Floats, most: float) -> Floats:
    return 1.0 / np.maximum(acceptance_rates, 1.0 / most)


def _check_factors(where: str, **factors: float) -> None:
    for name, value in factors.items():
        if not 1 <= value < np.inf:
            raise ConfigError(f"{where}: {name}={value}; it must be finite and at least 1")

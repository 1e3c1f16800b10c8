"""Rules that turn what tasks earn into task weights; one algorithm a file."""

from mtgrpo.core.weightings.balanced import Balanced
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.fixed import Fixed, Uniform
from mtgrpo.core.weightings.improvement_aware import ImprovementAware
from mtgrpo.core.weightings.regularized import Regularized
from mtgrpo.core.weightings.sec import SEC
from mtgrpo.core.weightings.sequential import Sequential

__all__ = [
    "SEC",
    "Balanced",
    "Fixed",
    "ImprovementAware",
    "Regularized",
    "Sequential",
    "TaskWeighting",
    "Uniform",
]

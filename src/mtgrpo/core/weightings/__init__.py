"""Rules that turn what tasks earn into task weights; one algorithm a file."""

from mtgrpo.core.weightings.balanced import Balanced
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.core.weightings.drats import DRATS
from mtgrpo.core.weightings.dump import DUMP
from mtgrpo.core.weightings.fixed import Fixed, Uniform
from mtgrpo.core.weightings.improvement_aware import ImprovementAware
from mtgrpo.core.weightings.regularized import Regularized
from mtgrpo.core.weightings.sec import SEC
from mtgrpo.core.weightings.sequential import Sequential
from mtgrpo.core.weightings.sfl import SFL
from mtgrpo.core.weightings.thompson import Thompson

__all__ = [
    "DRATS",
    "DUMP",
    "SEC",
    "SFL",
    "Balanced",
    "Fixed",
    "ImprovementAware",
    "Regularized",
    "Sequential",
    "TaskWeighting",
    "Thompson",
    "Uniform",
]

"""What a study shows: its results as arrays, paired comparisons with intervals, tables."""

from mtgrpo.evidence.digest import digest_run
from mtgrpo.evidence.paired import Interval, PairedComparison, compare
from mtgrpo.evidence.results import RunResult, StudyResults, load_results
from mtgrpo.evidence.thresholds import threshold_costs

__all__ = [
    "Interval",
    "PairedComparison",
    "RunResult",
    "StudyResults",
    "compare",
    "digest_run",
    "load_results",
    "threshold_costs",
]

"""What a study shows: its results as arrays, paired comparisons with intervals, tables."""

from mtgrpo.evidence.paired import Interval, PairedComparison, compare, threshold_costs
from mtgrpo.evidence.results import RunResult, StudyResults, digest_run, load_results

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

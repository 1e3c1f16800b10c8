"""Rollouts to the accuracy that another method ends with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mtgrpo.errors import RunError
from mtgrpo.evidence import load_results
from mtgrpo.evidence.reach import final_worst, rollouts_ratio, rollouts_to

from .conftest import record, study


def runs_of(method, levels, rollouts, seeds=(0, 1)):
    """Runs whose two tasks have so many of twenty samples right at each evaluation."""
    counts = [[[2] * (level // 2) + [level % 2] + [0] * (9 - level // 2)] * 2 for level in levels]
    return [record(method, seed, counts, rollouts) for seed in seeds]


def made(*groups):
    results = load_results(study([run for group in groups for run in group]))
    return {method: results.of(method) for method in results.methods}


def test_a_level_is_read_off_between_evaluations() -> None:
    methods = made(runs_of("dapo", [0, 4, 8], [0, 100, 200]))
    assert final_worst(methods["dapo"]) == pytest.approx(0.4)
    assert rollouts_to(methods["dapo"], 0.3) == pytest.approx(150)
    assert rollouts_to(methods["dapo"], 0.0) == 0
    assert math.isinf(rollouts_to(methods["dapo"], 0.5))


def test_the_first_time_counts_though_the_curve_falls_again() -> None:
    methods = made(runs_of("dapo", [0, 8, 4], [0, 100, 200]))
    assert rollouts_to(methods["dapo"], 0.2) == pytest.approx(50)


def test_ratios_to_the_whole_run_and_to_the_curve() -> None:
    methods = made(runs_of("dapo", [0, 8, 8], [0, 100, 200]), runs_of("other", [0, 16], [0, 80]))
    other, dapo = methods["other"], methods["dapo"]
    assert rollouts_ratio(other, dapo, dapo, whole=True).value == pytest.approx(40 / 200)
    assert rollouts_ratio(other, dapo, dapo).value == pytest.approx(40 / 100)
    assert rollouts_ratio(dapo, dapo, dapo).high == pytest.approx(1)


def test_what_is_never_reached_counts_against_the_method_alone() -> None:
    methods = made(runs_of("dapo", [0, 8], [0, 100]), runs_of("weak", [0, 4], [0, 50]))
    weak, dapo = methods["weak"], methods["dapo"]
    assert math.isinf(rollouts_ratio(weak, dapo, dapo).value)
    assert rollouts_ratio(dapo, weak, dapo).value == pytest.approx(
        100 / 50
    )  # all that the other one had


def test_the_interval_covers_the_spread_of_seeds() -> None:
    early, late = (
        runs_of("other", [0, 8], [0, 50], (0, 2)),
        runs_of("other", [0, 8], [0, 150], (1, 3)),
    )
    methods = made(runs_of("dapo", [0, 8], [0, 100], (0, 1, 2, 3)), early + late)
    found = rollouts_ratio(methods["other"], methods["dapo"], methods["dapo"])
    assert found.value == pytest.approx(1)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(1.5))
    assert np.isfinite([found.low, found.high]).all()


def test_without_a_common_seed_there_is_no_ratio() -> None:
    methods = made(
        runs_of("dapo", [0, 8], [0, 100], (0,)), runs_of("other", [0, 8], [0, 100], (1,))
    )
    with pytest.raises(RunError, match="no seed in common"):
        rollouts_ratio(methods["other"], methods["dapo"], methods["dapo"])

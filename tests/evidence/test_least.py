"""The least possible, read off runs that train one task each."""

import math

import pytest

from mtgrpo.evidence import load_results
from mtgrpo.evidence.least import efficiency, least_rollouts, specialists
from mtgrpo.evidence.tables import threshold_table

from .conftest import record, study

TASKS = ("t0-hard", "t1-easy")


def run(method, first, second, rollouts):
    """A run whose tasks have so many of twenty samples right at each evaluation."""
    counts = [
        [[2] * (n // 2) + [n % 2] + [0] * (9 - n // 2) for n in pair]
        for pair in zip(first, second, strict=True)
    ]
    return record(method, 0, counts, rollouts)


def made(*, with_second=True):
    runs = [
        run("dapo", [0, 8], [4, 8], [0, 400]),
        run("first", [0, 8], [4, 4], [0, 80]),
        run("second", [0, 0], [4, 8], [0, 40]),
    ]
    alone = {"rule": "fixed", "weights": {"t0-hard": 1, "t1-easy": 0}}
    other = {"rule": "fixed", "weights": {"t0-hard": 0, "t1-easy": 1 if with_second else 0.5}}
    if not with_second:
        other["weights"]["t0-hard"] = 0.5
    methods = {"dapo": {}, "first": {"weighting": alone}, "second": {"weighting": other}}
    return load_results(study(runs, methods=methods, thresholds=[0.3]))


def test_specialists_are_methods_that_weigh_one_task():
    assert specialists(made()) == {"t0-hard": "first", "t1-easy": "second"}
    assert specialists(made(with_second=False)) == {"t0-hard": "first"}


def test_the_least_is_the_sum_of_what_specialists_take():
    results = made()
    # 6 of 20 right: the hard task after 60 of 80 rollouts, the easy one after 20 of 40.
    assert least_rollouts(results, 0.3) == pytest.approx(80)
    assert efficiency(results, "dapo", 0.3) == pytest.approx(80 / 300)
    assert efficiency(results, "first", 0.3) == 0.0
    assert math.isinf(least_rollouts(results, 0.9))
    assert efficiency(results, "dapo", 0.9) is None
    assert efficiency(results, "dapo", 0.0) is None  # nothing was needed


def test_the_table_has_a_column_where_every_task_has_a_specialist():
    table = threshold_table(made(), 0.3)
    assert table.heads[-1] == "eta"
    assert {row[0]: row[-1] for row in table.rows} == {
        "dapo": "0.27",
        "first": "0.00",
        "second": "0.00",
    }
    assert "eta" not in threshold_table(made(with_second=False), 0.3).heads

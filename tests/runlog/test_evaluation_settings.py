"""Evaluations under different settings are told apart."""

from __future__ import annotations

import pytest

from mtgrpo.runlog import Evaluation, TaskEvaluation
from mtgrpo.runlog.evaluation_settings import settings_changes


def evaluation(step: int, num_samples: int = 4, **num_prompts: int) -> Evaluation:
    tasks = {name: TaskEvaluation(0.5, 0.5, n, 0.1) for name, n in num_prompts.items()}
    return Evaluation(step, 8 * step, 1.0, num_samples, tasks)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (evaluation(0, a=50), evaluation(9, a=50), ""),
        (evaluation(0, a=50), evaluation(9, 8, a=50), "4 → 8 samples per prompt"),
        (
            evaluation(0, a=50, b=50),
            evaluation(9, a=2000, b=2000),
            "50 → 2,000 prompts of 'a', 'b'",
        ),
        (evaluation(0, a=50, b=50), evaluation(9, a=50, b=20), "50 → 20 prompts of 'b'"),
        (evaluation(0, a=50), evaluation(9, a=50, b=20), "0 → 20 prompts of 'b'"),
        (
            evaluation(0, a=50),
            evaluation(9, 1, a=20),
            "4 → 1 sample per prompt; 50 → 20 prompts of 'a'",
        ),
        (evaluation(0, a=50), evaluation(9, a=50, other=7), ""),  # not a task of the run
        (evaluation(0, a=0), evaluation(9, a=50), ""),  # how many was not written
    ],
)
def test_what_changed_is_said(before, after, what):
    changes = settings_changes([before, after], ["a", "b"])
    assert [(c.row, c.step, c.what) for c in changes] == ([(1, 9, what)] if what else [])


def test_a_prompt_that_could_not_be_scored_is_no_other_setting():
    tasks = {"a": TaskEvaluation(0.5, 0.5, 2, 0.1, (1.0, 0.0, float("nan")))}
    other = {"a": TaskEvaluation(0.5, 0.5, 3, 0.1, (1.0, 0.0, 0.5))}
    rows = [Evaluation(step, 8, 1.0, 4, results) for step, results in ((0, tasks), (5, other))]
    assert settings_changes(rows, ["a"]) == []


def test_each_place_is_found():
    rows = [
        evaluation(0, a=9),
        evaluation(5, a=9),
        evaluation(10, 2, a=9),
        evaluation(15, 2, a=9),
        evaluation(20, a=9),
    ]
    assert [(c.row, c.step) for c in settings_changes(rows, ["a"])] == [(2, 10), (4, 20)]
    assert settings_changes([], ["a"]) == []

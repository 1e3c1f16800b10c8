"""Scores by prompt, and each task's result."""

import math

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.integrations.trl.results import EvaluationTable
from mtgrpo.tasks import Scoring, Task, TaskSet


def task(name, **scoring):
    return Task(name, [], [{"prompt": "?"}], lambda **columns: [], 1.0, scoring=Scoring(**scoring))


TWO = TaskSet(task("a"), task("b"))


def test_table_leaves_out_copies_that_pad_the_last_batch():
    table = EvaluationTable(TWO, num_samples=2)
    table.add([(0, 0), (0, 0), (1, 0), (1, 0)], [(1.0, 1.0), (0.0, 0.0), (0.5, 0.0), (0.5, 1.0)])
    table.add([(0, 1), (0, 1), (0, 0), (0, 0)], [(1.0, 1.0), (1.0, 1.0), (9.0, 1.0), (9.0, 1.0)])
    results = table.results()
    assert (results["a"].accuracy, results["a"].reward, results["a"].num_prompts) == (0.75, 0.75, 2)
    assert results["a"].std_error == pytest.approx(0.25)
    assert (results["b"].accuracy, results["b"].std_error) == (0.5, 0.0)


def test_accuracies_prompt_by_prompt_are_in_the_order_of_the_rows():
    table = EvaluationTable(TWO, num_samples=2)
    table.add([(1, 0), (0, 1), (0, 1), (0, 0)], [(1.0, 1.0), (0.1, 0.0), (1.0, 1.0), (1.0, 1.0)])
    table.add(
        [(0, 0), (1, 0), (1, 0)], [(1.0, 1.0), (0.0, 0.0), (1.0, 1.0)]
    )  # the last one is padding
    results = table.results()
    assert results["a"].prompt_accuracies == (1.0, 0.5)
    assert results["b"].prompt_accuracies == (0.5,)


def test_prompts_that_could_not_be_scored_are_left_out_up_to_the_limit():
    nan = math.nan
    table = EvaluationTable(
        TaskSet(task("a", on_error="drop", max_dropped_rate=0.4)), num_samples=2
    )
    scores = [(1.0, 1.0), (1.0, 1.0), (nan, nan), (nan, nan), (0.0, 0.0), (0.0, 0.0)]
    table.add([(0, 0), (0, 0), (0, 1), (0, 1), (0, 2), (0, 2)], scores)
    result = table.results()["a"]
    assert (result.accuracy, result.reward, result.num_prompts) == (0.5, 0.5, 2)
    assert result.prompt_accuracies[::2] == (1.0, 0.0)
    assert math.isnan(result.prompt_accuracies[1])
    table.add([(0, 3), (0, 3)], [(nan, nan), (nan, nan)])
    with pytest.raises(
        RewardError, match=r"task 'a': 2 of 4 test prompts could not be scored.*allows 1"
    ):
        table.results()

"""Recipes: a reward is found again in another process, and the same one."""

from dataclasses import replace

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.imports import import_path
from mtgrpo.tasks import Scoring, Task, TaskSet, build_task, each
from mtgrpo.tasks.scoring.recipe import reward_from_recipe, reward_recipe
from mtgrpo.tasks.scoring.scorer import Item, Scorer

from . import slow_rewards

ROW = {"prompt": "p", "answer": "yes"}
APART = Scoring(num_processes=1)


def make(reward) -> Task:
    return Task("t", [ROW], [], reward, scoring=APART)


def scored(task: Task, *completions: str, row=ROW):
    scorer = Scorer(TaskSet(task))
    try:
        return scorer.score([Item(task.name, row, 0, text, 0) for text in completions])
    finally:
        scorer.close()


def test_recipes_lead_back_to_the_same_function(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "def f(prompts, completions, **columns):\n    return [2.0] * len(completions)\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}\n')
    entry = {"rows": str(rows), "name": "t", "reward": "mine.py:f", "scoring": {"num_processes": 1}}
    task = build_task(entry, "tasks[0]")[0]
    assert task.scoring == APART
    assert reward_recipe(task) == {"function": f"{tmp_path}/mine.py:f", "each": False}
    assert [s.reward for s in scored(task, "x")] == [2.0]
    assert import_path(slow_rewards.one) == "tests.tasks.scoring.slow_rewards:one"
    assert reward_recipe(make(each(slow_rewards.by_hand))) == {
        "function": "tests.tasks.scoring.slow_rewards:by_hand",
        "each": True,
    }


def test_a_reward_inside_a_closure_is_made_again_from_its_entry():
    pytest.importorskip("reasoning_gym")
    entry = {
        "reasoning_gym": "basic_arithmetic",
        "num_train": 3,
        "num_test": 2,
        "scoring": {"num_processes": 1},
    }
    task = replace(build_task(entry, "tasks[0]")[0], name="t")
    assert reward_recipe(task)["task"] == "t"
    named = build_task({**entry, "name": "t"}, "tasks[0]")[0]
    row = named.train[1]
    scores = scored(named, named.oracle(row), "no", row=row)
    assert [score.accuracy for score in scores] == [1.0, 0.0]


def test_an_entry_that_no_longer_makes_the_task_is_one_line():
    recipe = {"entry": {"tiny": "arc", "level": "easy"}, "task": "arc-hard"}
    with pytest.raises(TaskError, match=r"^task 't': its configuration entry no longer makes it$"):
        reward_from_recipe(recipe, "t")

"""How another process gets a reward: by where it is defined, never by its code or its bytes."""

from __future__ import annotations

import os
from typing import Any

from mtgrpo.errors import TaskError
from mtgrpo.imports import import_function, import_path
from mtgrpo.tasks.scores import RewardFunction, each, label
from mtgrpo.tasks.sources.reasoning_gym import HASH_DEPENDENT
from mtgrpo.tasks.specs import build_task
from mtgrpo.tasks.task import Task

Recipe = dict[str, Any]
"""What JSON can hold: ``{"function": path, "each": bool}``, or ``{"entry": ..., "task": name}``."""


def reward_recipe(task: Task) -> Recipe:
    """How to get the reward of a task in another process.

    Raises:
        TaskError: no other process can get it: it is a lambda, is nested in a function, or belongs
            to the script that runs.
    """
    scores_one = getattr(task.reward, "scores_one", None)
    for function, wrapped in ((task.reward, False), (scores_one, True)):
        path = None if function is None else import_path(function)
        if path is not None:
            return {"function": path, "each": wrapped}

    if task.origin is None:
        raise TaskError(
            f"task {task.name!r}: scoring.num_processes is {task.scoring.num_processes}, but "
            f"another process cannot import the reward function {label(task.reward)}; define it at "
            "the top of a module other than the script that runs"
        )

    dataset = task.origin.get("reasoning_gym")
    if dataset in HASH_DEPENDENT and os.environ.get("PYTHONHASHSEED", "random") == "random":
        raise TaskError(
            f"task {task.name!r}: reasoning-gym makes other rows of {dataset} in every process; "
            "start Python with PYTHONHASHSEED=0, or leave out scoring.num_processes"
        )
    return {"entry": dict(task.origin), "task": task.name}


def reward_from_recipe(recipe: Recipe, name: str) -> RewardFunction:
    """The reward function of a recipe.

    Raises:
        TaskError: it is no longer there.
    """
    if "function" in recipe:
        function = import_function(recipe["function"], f"task {name!r}, reward")
        return each(function) if recipe["each"] else function

    for task in build_task(recipe["entry"], f"task {name!r}"):
        if task.name == recipe["task"]:
            return task.reward
    raise TaskError(f"task {name!r}: its configuration entry no longer makes it")

"""How another process can have the same reward function: by where it is defined, never by its code or its bytes."""

from __future__ import annotations

import os
import sys
from typing import Any

from mtgrpo.errors import TaskError
from mtgrpo.tasks.imports import USER_MODULE, import_function
from mtgrpo.tasks.scores import RewardFunction, each, label
from mtgrpo.tasks.sources.reasoning_gym import HASH_DEPENDENT
from mtgrpo.tasks.task import Task

Recipe = dict[str, Any]
"""What JSON can hold: ``{"function": path, "each": bool}``, or ``{"entry": configuration entry, "task": name}``."""


def reward_recipe(task: Task) -> Recipe:
    """How to get the reward of a task in another process.

    Raises:
        TaskError: it can only be had here: it is a lambda, is nested in a function, or belongs to the script that runs.
    """
    for fn, wrapped in ((task.reward, False), (getattr(task.reward, "scores_one", None), True)):
        path = None if fn is None else import_path(fn)
        if path is not None:
            return {"function": path, "each": wrapped}
    if task.origin is not None:
        dataset = task.origin.get("reasoning_gym")
        if dataset in HASH_DEPENDENT and os.environ.get("PYTHONHASHSEED", "random") == "random":
            raise TaskError(
                f"task {task.name!r}: reasoning-gym makes other rows of {dataset} in every process; start Python with "
                "PYTHONHASHSEED=0, or leave out scoring.num_processes"
            )
        return {"entry": dict(task.origin), "task": task.name}
    raise TaskError(
        f"task {task.name!r}: scoring.num_processes is {task.scoring.num_processes}, but another process cannot import "
        f"the reward function {label(task.reward)}; define it at the top of a module other than the script that runs"
    )


def reward_from_recipe(recipe: Recipe, name: str) -> RewardFunction:
    """The reward function of a recipe.

    Raises:
        TaskError: it is no longer there.
    """
    if "function" in recipe:
        function = import_function(recipe["function"], f"task {name!r}, reward")
        return each(function) if recipe["each"] else function
    from mtgrpo.tasks.specs import build_task  # imports this package

    return next(
        task.reward
        for task in build_task(recipe["entry"], f"task {name!r}")
        if task.name == recipe["task"]
    )


def import_path(fn: object) -> str | None:
    """``"module:function"`` or ``"file.py:function"`` that leads back to exactly this function; None without one."""
    module_name, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(name, str) or module_name == "__main__":
        return None
    module = sys.modules.get(module_name)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not fn:
        return None
    place = (
        getattr(module, "__file__", None) if module_name.startswith(USER_MODULE) else module_name
    )
    return f"{place}:{name}"

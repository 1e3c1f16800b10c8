"""The trainer's arguments that a configuration has by name. No torch, unless they need it.

``environment`` and ``tools`` are the user's own code, by its import path.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtgrpo.config import ResolvedRun
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.imports import import_function
from mtgrpo.integrations.trl.adapters import lora_config
from mtgrpo.tasks import Task, TaskSet
from mtgrpo.tasks.prompts import PromptCheck, PromptKind
from mtgrpo.tasks.signatures import defect_of_call

Factory = Callable[[], Any]
COLUMN = "environment"
"""Column of a row that names its environment, where there are several."""
GIVEN = ("prompts", "completions", "environments")
"""What every reward of a task gets where there are environments."""


def trainer_parts(run: ResolvedRun, tasks: TaskSet) -> dict[str, Any]:
    """``peft_config``, ``environment_factory`` and ``tools`` of a run's trainer.

    Raises:
        ConfigError: One of them cannot be used; names the key.
        MissingExtra: peft is needed and not installed.
    """
    parts = {
        "peft_config": None if run.peft is None else lora_config(run.peft),
        "environment_factory": environment_factory(run.environment, tasks),
        "tools": tools(run.tools) or None,
    }

    if parts["environment_factory"] or parts["tools"]:
        check_chats("tools" if parts["tools"] else "environment", PromptCheck(tasks).kind)
    return parts


def environment_factory(
    given: str | Mapping[str, str] | None, tasks: TaskSet
) -> Factory | dict[str, Factory] | None:
    """What TRL takes as ``environment_factory``.

    Args:
        given: An import path, or several by name.
        tasks: The tasks, whose rows name their environments where there are several.

    Raises:
        ConfigError: A path that leads to no environment, or rows that name none.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _environment(given, "environment")

    if not given:
        raise ConfigError("environment: an empty mapping; name at least one, or leave it out")
    for task in tasks:
        check_column(task, given)
    return {name: _environment(path, f"environment.{name}") for name, path in given.items()}


def tools(paths: Sequence[str]) -> list[Callable[..., Any]]:
    """The functions, each with what a chat template needs to describe it.

    Args:
        paths: Import paths.

    Raises:
        ConfigError: A path that leads to no function, or to one without types or docstring.
    """
    functions: list[Callable[..., Any]] = []
    for number, path in enumerate(paths):
        where = f"tools[{number}]"
        function = import_function(path, where, raises=ConfigError)
        check_description(function, path, where)
        functions.append(function)

    check_names([function.__name__ for function in functions], "tools")
    return functions


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse two tools of one name: the model could call one of them only.

    Raises:
        ConfigError: With the name.
    """
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{where}: two functions are called {name!r}; the model needs one each"
            )


def check_chats(key: str, kind: PromptKind | None) -> None:
    """Refuse prompts in which a model calls nothing.

    Raises:
        ConfigError: They are texts.
    """
    if kind is not None and not kind.is_chat:
        raise ConfigError(
            f"{key}: the prompts are texts, in which a model calls no tool; make them chat messages"
        )


def _environment(path: str, where: str) -> Factory:
    factory = import_function(path, where, raises=ConfigError)
    check_reset(factory, path, where)
    return factory


def check_factories(given: Any, tasks: TaskSet | None, where: str) -> None:
    """Refuse classes that can be no environment, and rewards that cannot take environments.

    Args:
        given: TRL's ``environment_factory``: what makes an environment, or several by name.
        tasks: Those whose rewards get the environments; None where TRL has rewards of its own.
        where: Begins error messages.

    Raises:
        ConfigError: As `check_reset`, or a reward without the argument ``environments``.
    """
    if given is not None:
        for task in tasks or ():
            if defect := defect_of_call(task.reward, GIVEN):
                raise ConfigError(f"{where}: task {task.name!r}: {defect}")

    if not isinstance(given, Mapping):
        check_reset(given, getattr(given, "__name__", ""), where)
        return
    for name, factory in given.items():
        check_reset(factory, getattr(factory, "__name__", ""), f"{where}[{name!r}]")


def check_reset(factory: Any, path: str, where: str) -> None:
    """Refuse a class whose state cannot be set for a completion; functions are let through.

    Raises:
        ConfigError: It has no method `reset`, or one that must be waited for.
    """
    if not isinstance(factory, type):
        return

    reset = getattr(factory, "reset", None)
    if not callable(reset):
        raise ConfigError(
            f"{where}: {path} has no method 'reset', which is called for every completion; "
            "give it one"
        )
    if inspect.iscoroutinefunction(reset):
        raise ConfigError(
            f"{where}: {path}.reset is async, but nothing waits for it; make it a plain method "
            "(methods that the model calls may be async)"
        )


def check_column(task: Task, given: Mapping[str, Any]) -> None:
    """Refuse rows that name none of several environments.

    Raises:
        ConfigError: With task and row.
    """
    # Generated rows are made as they are drawn: the first of each split stands for all.
    for split, rows in (("train", task.train), ("test", task.test)):
        if not len(rows):
            continue

        where = f"task {task.name!r}, {split} row 0"
        if COLUMN not in rows[0]:
            raise ConfigError(
                f"{where}: no column {COLUMN!r}, which names one of several environments: "
                f"{', '.join(sorted(given))}"
            )
        if rows[0][COLUMN] not in given:
            raise ConfigError(unknown(where, "environment", rows[0][COLUMN], given))


def check_description(function: Callable[..., Any], path: str, where: str) -> None:
    """Refuse a tool that a chat template cannot describe.

    Raises:
        ConfigError: With what it lacks.
    """
    from transformers.utils.chat_template_utils import get_json_schema

    try:
        get_json_schema(function)
    # transformers has two classes for it in some versions, and ValueError in others.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{where}: {path} cannot be described to the model: {reason}; give every argument a "
            "type, and a line under 'Args:' in the docstring"
        ) from error

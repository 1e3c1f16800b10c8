"""Tasks from tasksets of `verifiers`, Prime Intellect's format of environments.

A taskset is foreign code: its user installs it, nothing is fetched here. One turn is trained on,
and scored by the taskset's own rewards. What needs tools or a container cannot be scored that way.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any, cast

from mtgrpo.errors import MissingExtra, TaskError, counted
from mtgrpo.tasks.scores import Completion, completion_text
from mtgrpo.tasks.task import Task

INDEX = "verifiers_index"
"""Column with a row's place in the taskset."""


def verifiers_task(
    taskset: Any,
    name: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    num_train: int | None = None,
    num_test: int = 0,
    chat: bool = True,
    correct_at: float | None = None,
    reward_range: tuple[float, float] | None = None,
    floor: float = 0.0,
    family: str | None = None,
    level: str | None = None,
) -> Task:
    """A task of a taskset of verifiers (the v1 interface, from 0.4 on).

    Args:
        taskset: The name of an installed taskset, as verifiers takes it, or a `Taskset`.
        name: The task's name; the taskset's by default.
        config: What the taskset's configuration takes, besides its name.
        num_train: Rows to train on; all that the taskset has, if left out.
        num_test: Rows to test on: the taskset's first ones.
        chat: Whether prompts are chat messages; else they are texts, with the system prompt first.
        correct_at: A completion is correct from this reward on; left out, the task is graded.
        reward_range: Lowest and highest reward of a graded task.
        floor: Accuracy of a guess.
        family: Group of tasks in reports.
        level: Difficulty in reports.

    Raises:
        MissingExtra: verifiers, or the taskset, is not installed.
        TaskError: The taskset cannot be loaded, or needs more than one turn of text.
    """
    shown = taskset if isinstance(taskset, str) else type(taskset).__name__
    where = f"verifiers taskset {shown!r}"
    verifiers = import_verifiers(where)
    if isinstance(taskset, str):
        taskset = _load(taskset, dict(config or {}), where)

    if num_train is None and not taskset.bounded:
        raise TaskError(f"{where}: it has no end; num_train is needed")
    limit = None if num_train is None else num_test + num_train
    tasks: list[Any] = list(islice(cast("Iterable[Any]", taskset), limit))
    if len(tasks) <= num_test:
        raise TaskError(
            f"{where}: {counted(len(tasks), 'task')}, of which num_test={num_test} are to test on; "
            "none is left to train on"
        )

    for task in tasks[:1]:  # a taskset has tasks of one type
        _check_offline(task, taskset, where)
    rows = [
        {"prompt": _prompt(task.data, chat, where), INDEX: place}
        for place, task in enumerate(tasks)
    ]
    return Task(
        name or shown.rpartition("/")[2],
        train=rows[num_test:],
        test=rows[:num_test],
        reward=_reward(verifiers, tasks),
        correct_at=correct_at,
        reward_range=reward_range,
        floor=floor,
        family=family,
        level=level,
    )


def import_verifiers(where: str) -> Any:
    """The v1 interface of verifiers.

    Args:
        where: Who asks.

    Raises:
        MissingExtra: It is not installed.
        TaskError: The installed release has no such interface.
    """
    if find_spec("verifiers") is None:
        raise MissingExtra(
            f"{where}: verifiers is not installed; install it, and the package of the taskset, "
            "with: pip install verifiers"
        )
    try:
        return importlib.import_module("verifiers.v1")
    except ModuleNotFoundError as error:
        raise TaskError(
            f"{where}: the installed verifiers lacks what is used of it ({error}); install "
            "verifiers 0.4 or a later one"
        ) from error


def _load(name: str, config: dict[str, Any], where: str) -> Any:
    loaders = importlib.import_module("verifiers.v1.utils.loaders")
    try:
        made = loaders.taskset_class(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{where}: no such taskset is installed; install its package first: verifiers looks "
            f"for a module {name.rpartition('/')[2].replace('-', '_').lower()!r}"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise TaskError(f"{where}: {error}") from error

    generic = importlib.import_module("verifiers.v1.utils.generic")
    base = importlib.import_module("verifiers.v1.configs.taskset").TasksetConfig
    kind = generic.concrete_type(made, base) or base
    try:
        return made(kind(id=name, **config))
    except ValueError as error:  # pydantic's own
        problem = " ".join(str(error).split())
        raise TaskError(f"{where}: config {config!r} cannot be used: {problem}") from error


def _check_offline(task: Any, taskset: Any, where: str) -> None:
    needs = None
    if task.NEEDS_CONTAINER:
        needs = "a container"
    elif task.toolsets(task.config) or taskset.toolsets(taskset.config):
        needs = "tools"

    rewards: list[Callable[..., Any]] = task.hooks("reward")
    for function in rewards:
        runtime = inspect.signature(function).parameters.get("runtime")
        if runtime is not None and runtime.default is inspect.Parameter.empty:
            needs = f"a runtime for its reward {function.__name__!r}"
    if not rewards and not task.plugged_judges():
        raise TaskError(f"{where}: its tasks have no reward")

    if needs is not None:
        raise TaskError(
            f"{where}: it needs {needs}; here one turn of text is scored, by rewards alone; train "
            "it with VerifiersRollouts (docs/environments.md), through environment_factory, or "
            "with prime-rl"
        )


def _prompt(data: Any, chat: bool, where: str) -> str | list[dict[str, Any]]:
    prompt = data.prompt
    if prompt is None:
        raise TaskError(f"{where}, task {data.idx}: it has no prompt; a user would open it")

    messages: list[dict[str, Any]] = []
    if data.system_prompt:
        messages.append({"role": "system", "content": data.system_prompt})
    if isinstance(prompt, str):
        messages.append({"role": "user", "content": prompt})
    else:
        messages += [message.model_dump(exclude_none=True) for message in prompt]

    if chat:
        return messages
    for message in messages:
        if not isinstance(message["content"], str):
            raise TaskError(f"{where}, task {data.idx}: its prompt has more than text")
    return "\n\n".join(message["content"] for message in messages)


def _reward(verifiers: Any, tasks: Sequence[Any]) -> Callable[..., list[float]]:
    def verifiers_reward(
        prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any
    ) -> list[float]:
        texts = [completion_text(completion) for completion in completions]
        pairs = [(tasks[i], text) for i, text in zip(columns[INDEX], texts, strict=True)]
        return asyncio.run(_scores(verifiers, pairs))

    return verifiers_reward


async def _scores(verifiers: Any, pairs: Sequence[tuple[Any, str]]) -> list[float]:
    return list(await asyncio.gather(*(_score(verifiers, *pair) for pair in pairs)))


async def _score(verifiers: Any, task: Any, text: str) -> float:
    data = task.data
    question = data.prompt if isinstance(data.prompt, str) else data.prompt_text
    trace = verifiers.Trace(
        task=verifiers.TraceTask(type=type(task).__name__, data=data, key=task.key, hash=task.hash),
        agent=verifiers.AgentInfo(config=verifiers.AgentConfig()),
        nodes=[
            verifiers.MessageNode(message=verifiers.UserMessage(content=question), sampled=False),
            verifiers.MessageNode(
                parent=0, message=verifiers.AssistantMessage(content=text), sampled=True
            ),
        ],
        ok=True,
    )
    await task.score(trace)
    return float(trace.reward)

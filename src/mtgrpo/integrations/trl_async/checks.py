"""What cannot work with TRL's asynchronous trainer is refused before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.core.method import Method
from mtgrpo.core.one_round import OneRoundSampler, refuse_probes
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.integrations.trl.own_code import (
    check_chats,
    check_column,
    check_description,
    check_factories,
    check_names,
)
from mtgrpo.integrations.trl_async.seam import WHERE
from mtgrpo.tasks.prompts import PromptCheck
from mtgrpo.tasks.task_set import TaskSet


def check(args: Any, method: Method, tasks: TaskSet) -> None:
    """Refuse arguments that cannot work.

    Raises:
        ConfigError: With the argument's name and the way out.
    """
    if args.max_steps <= 0:
        raise ConfigError(
            f"{WHERE}: args.max_steps={args.max_steps}; the number of steps is needed"
        )
    if args.token_budget is not None and args.token_budget > 0:
        raise ConfigError(
            f"{WHERE}: args.token_budget={args.token_budget} makes steps of any number of samples, "
            "so that no task's share of a step can be exact; leave it out, and set "
            "per_device_train_batch_size"
        )
    if method.weighting.uses_improvements:
        raise ConfigError(
            f"{WHERE}: the weighting measures improvements on the samples just used, which TRL's "
            "asynchronous trainer has no place for; use improvement='rewards'"
        )
    sampler = method.sampler
    refuse_probes(sampler, WHERE)
    if isinstance(sampler, OneRoundSampler) and "seconds" in (sampler.budget or {}):
        raise ConfigError(
            f"{WHERE}: the sampler's budget is in seconds, which groups that are generated side by "
            "side do not have; state it in tokens"
        )
    for task in tasks:
        if task.from_step or task.until_step is not None:
            raise ConfigError(
                f"{WHERE}: task {task.name!r} joins or leaves during the run (from_step, "
                "until_step); here all tasks are trained on from the first step to the last"
            )
        if task.generation:
            raise ConfigError(
                f"{WHERE}: task {task.name!r}: generation: {task.generation.in_words()}; TRL's "
                "asynchronous loop samples all tasks alike, and computes log-probabilities at one "
                "temperature; take generation out of the task"
            )


def check_environments(factory: Any, tools: Sequence[Any], tasks: TaskSet) -> None:
    """Refuse environments and tools that cannot be used.

    Raises:
        ConfigError: Rows that name no environment, prompts that are texts, or a tool that cannot be
            described.
    """
    if factory is None and not tools:
        return

    name = "tools" if factory is None else "environment_factory"
    check_chats(f"{WHERE}: {name}", PromptCheck(tasks).kind)
    for number, tool in enumerate(tools):
        check_description(tool, getattr(tool, "__name__", repr(tool)), f"{WHERE}: tools[{number}]")
    check_names([getattr(tool, "__name__", repr(tool)) for tool in tools], f"{WHERE}: tools")

    if isinstance(factory, Mapping):
        if not factory:
            raise ConfigError(
                f"{WHERE}: environment_factory: an empty mapping; name at least one, or leave it "
                "out"
            )
        for task in tasks:
            check_column(task, factory)
    elif factory is not None and not callable(factory):
        raise ConfigError(
            f"{WHERE}: environment_factory is a {type(factory).__name__}; a class is needed, or a "
            "mapping of several by name"
        )
    check_factories(factory, tasks, f"{WHERE}: environment_factory")


def groups_per_step(args: Any) -> int:
    """Groups of one optimizer step, over all processes: the mixer's B.

    Raises:
        ConfigError: A step would cut a group apart, or groups have one completion.
    """
    size = args.num_generations
    if size < 2:
        raise ConfigError(
            f"{WHERE}: args.num_generations={size}; GRPO compares completions of one prompt, at "
            "least 2 are needed"
        )

    rows = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
    groups, rest = divmod(rows, size)
    if rest:
        raise ConfigError(
            f"{WHERE}: {rows} samples of a step do not divide into whole groups of {size}; make "
            "per_device_train_batch_size x processes x gradient_accumulation_steps a multiple of it"
        )
    return groups


def bounds_of(
    given: int | Mapping[str, int] | None, most: int, tasks: Sequence[str]
) -> dict[str, int]:
    """The staleness bound of each task.

    Args:
        given: One for all, or those of some tasks.
        most: TRL's ``max_staleness``, beyond which it drops samples by itself.
        tasks: Names of the tasks that are trained on.

    Raises:
        ConfigError: An unknown task, or a bound below 1 or above TRL's.
    """
    bounds = dict.fromkeys(tasks, most)
    if isinstance(given, int):
        given = dict.fromkeys(tasks, given)

    for task, bound in (given or {}).items():
        if task not in bounds:
            raise ConfigError(unknown(f"{WHERE}: max_staleness", "task", task, tasks))
        bounds[task] = bound

    for task, bound in bounds.items():
        if not 1 <= bound <= most:
            raise ConfigError(
                f"{WHERE}: max_staleness of task {task!r} is {bound}; 1 to args.max_staleness="
                f"{most} is possible: TRL fetches a step ahead, and drops what is older by itself"
            )
    return bounds

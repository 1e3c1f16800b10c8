"""A run made concrete before a model is loaded: tasks, batch arithmetic, TRL's arguments."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun
from mtgrpo.core.budget import Budget
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.weightings import Sequential
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import check_installed
from mtgrpo.integrations.trl.generation_checks import check_generation, what_else_writes
from mtgrpo.integrations.trl.grpo_arguments import grpo_arguments
from mtgrpo.integrations.trl.own_code import trainer_parts
from mtgrpo.jobs.model_files import lacks_chat_template
from mtgrpo.jobs.named_models import model_place
from mtgrpo.plan import Plan, make_plan
from mtgrpo.tasks import TaskSet, build_tasks
from mtgrpo.tasks.prompts import PromptCheck


@dataclass(frozen=True)
class Job:
    """A run made concrete, before a model is loaded.

    Attributes:
        run: The run.
        tasks: Its tasks, with test rows cut to ``evaluation.prompts_per_task``.
        plan: Batch arithmetic for this number of processes.
        model: Directory or hub name.
        trl: Arguments of TRL's ``GRPOConfig``.
    """

    run: ResolvedRun
    tasks: TaskSet
    plan: Plan
    model: str
    trl: Mapping[str, Any]


def prepare(run: ResolvedRun) -> Job:
    """Check everything that can be checked without a model.

    Raises:
        ConfigError: Tasks, batch arithmetic or TRL's fields cannot work; names the file.
        MissingExtra: TRL is not installed.
    """
    check_installed()
    _keep_reports_with_the_run(run)
    with blaming(run):
        return _prepare(run)


@contextlib.contextmanager
def blaming(run: ResolvedRun) -> Iterator[None]:
    """Errors in the block that are the configuration's begin with the name of its file."""
    try:
        yield
    except ConfigError as error:
        if not run.origin or str(error).startswith(run.origin):
            raise
        raise type(error)(f"{run.origin}: {error}") from error


def _prepare(run: ResolvedRun) -> Job:
    tasks = _with_few_test_rows(build_tasks(run.tasks, "tasks"), run.evaluation.prompts_per_task)
    tasks.check_present(run.steps)
    PromptCheck(tasks)  # refuses prompts that no engine can take
    run = _with_phases(run, tasks)
    _check_budget(run)
    if run.evaluation.every and not any(len(task.test) for task in tasks):
        raise ConfigError(
            f"evaluation.every={run.evaluation.every}, but no task has test rows; give tasks test "
            "rows (test_fraction: 0.1 in their entry, or as their kind has it), or set "
            "evaluation.every=0"
        )
    run.method.make_mixer(  # refuses a method that does not fit the tasks
        tasks.trained, batch_size=run.batch_size, families=tasks.families
    )

    plan = make_plan(
        run,
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        num_test_prompts=sum(len(task.test) for task in tasks),
    )
    trainer_parts(run, tasks)  # refuses adapters, environments and tools that cannot be used

    trl = grpo_arguments(run, plan)
    check_generation(
        tasks,
        trl,
        num_processes=plan.world_size,
        calls=what_else_writes(run.environment, run.tools, None),
    )
    return Job(run, tasks, plan, model_place(run.model), trl)


def check_chat(job: Job) -> None:
    """Refuse chat prompts for a model in a folder whose tokenizer has no chat template.

    Raises:
        ConfigError: With the way out.
    """
    first = next(rows[0] for task in job.tasks for rows in (task.train, task.test) if len(rows))
    if isinstance(first["prompt"], str):
        return

    if lacks_chat_template(Path(job.model).expanduser()):
        raise ConfigError(
            f"model: {job.run.model!r}: prompts are chat messages, but the model's tokenizer has "
            "no chat template; give a model whose tokenizer has one, or make the prompts texts "
            "(without chat: true)"
        )


def budget_of(run: ResolvedRun) -> Budget | None:
    """What a step may cost; None where the sampler refills until its quotas are met."""
    sampler = run.method.sampler
    return Budget(sampler.budget) if isinstance(sampler, OneRoundSampler) else None


def _check_budget(run: ResolvedRun) -> None:
    """Refuse a budget that pays for no group: a completion has a token at least."""
    budget, sampler = budget_of(run), run.method.sampler
    if budget is None or budget.unit not in ("completions", "tokens"):
        return
    if isinstance(sampler, OneRoundSampler) and sampler.probes is not None:
        return  # a group may stay as small as its probe

    if budget.amount < run.group_size:
        raise ConfigError(
            f"sampler.budget: {budget.text}; a group of {run.group_size} "
            f"completions costs {run.group_size} at least; give a larger budget"
        )


def _keep_reports_with_the_run(run: ResolvedRun) -> None:
    """Trackio looks for its place once, when TRL imports it."""
    if "trackio" in run.report_to:
        os.environ.setdefault("TRACKIO_DIR", str(Path(run.output).resolve() / "trackio"))


def _with_few_test_rows(tasks: TaskSet, limit: int | None) -> TaskSet:
    if limit is None:
        return tasks

    cut = []
    for task in tasks:
        num_rows = min(limit, len(task.test))
        cut.append(replace(task, test=[task.test[i] for i in range(num_rows)]))
    return TaskSet(*cut)


def _with_phases(run: ResolvedRun, tasks: TaskSet) -> ResolvedRun:
    """One family after the other, in equal parts of the run, where phases are not stated."""
    weighting = run.method.weighting
    if not isinstance(weighting, Sequential) or weighting.phases:
        return run

    phases: dict[str, list[str]] = {}
    for name in tasks.trained:
        phases.setdefault(tasks[name].family or name, []).append(name)

    steps_per_phase = math.ceil(run.steps / len(phases))
    weighting = Sequential(list(phases.values()), steps_per_phase)

    return replace(run, method=replace(run.method, weighting=weighting))

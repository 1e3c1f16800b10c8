"""A run made concrete before a model is loaded: tasks, batch arithmetic, TRL's arguments."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtgrpo import tiny
from mtgrpo.config import ResolvedRun
from mtgrpo.core.method import show_value
from mtgrpo.core.weightings import Sequential
from mtgrpo.errors import counted
from mtgrpo.integrations.trl.arguments import grpo_arguments
from mtgrpo.jobs.memory import describe_memory
from mtgrpo.jobs.model_files import model_shape
from mtgrpo.plan import Plan, make_plan
from mtgrpo.tasks import TaskSet, build_tasks
from mtgrpo.tasks.prompts import PromptCheck

Sections = dict[str, list[tuple[str, str]]]


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
        ConfigError: Tasks, batch arithmetic or TRL's fields cannot work.
        MissingExtra: TRL is not installed.
    """
    tasks = _with_few_test_rows(build_tasks(run.tasks, "tasks"), run.evaluation.prompts_per_task)
    tasks.check_present(run.steps)
    PromptCheck(tasks)  # refuses prompts that no engine can take
    run = _with_phases(run, tasks)
    run.method.make_mixer(  # refuses a method that does not fit the tasks
        tasks.trained, batch_size=run.batch_size, families=tasks.families
    )

    plan = make_plan(
        run,
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        num_test_prompts=sum(len(task.test) for task in tasks),
    )

    return Job(run, tasks, plan, model_place(run.model), grpo_arguments(run, plan))


def model_place(name: str) -> str:
    """Directory or hub name of a model as a configuration names it."""
    return str(tiny.model_path()) if name == "tiny" else name


def describe_job(run: ResolvedRun) -> Sections:
    """The resolved plan, in sections of lines, for ``--dry-run``. Loads no weights.

    Raises:
        ConfigError: As `prepare`.
    """
    job = prepare(run)
    method = job.run.method.as_dict()

    return {
        "run": [
            ("model", job.model),
            ("method", f"{run.preset} ({run.variant}, {run.setting})"),
            ("output", run.output),
        ],
        "tasks": [
            (task.name, f"{len(task.train):,} train, {counted(len(task.test), 'test row')}")
            for task in job.tasks
        ],
        "weighting": [(key, show_value(value)) for key, value in method["weighting"].items()],
        "sampler": [(key, show_value(value)) for key, value in method["sampler"].items()],
        "batch": _describe_batch(job),
        "memory": _describe_memory(job),
        "GRPOConfig": [(key, show_value(value)) for key, value in sorted(job.trl.items())],
    }


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


def _describe_batch(job: Job) -> list[tuple[str, str]]:
    run, plan = job.run, job.plan
    completions = f"{run.batch_size} of {run.group_size} completions"
    rows = (
        f"{counted(plan.world_size, 'process', 'processes')} x "
        f"{counted(plan.gradient_accumulation_steps, 'accumulation step')} x "
        f"{counted(plan.micro_batch_size, 'row')}"
    )

    rollouts = f"{plan.min_rollouts:,} to {plan.max_rollouts:,} (the budget of rounds)"

    return [
        ("steps", f"{run.steps:,} ({counted(plan.optimizer_steps, 'policy update')})"),
        ("groups per step", f"{completions} = {plan.rows_per_step:,} rows"),
        ("rows per update", f"{plan.rows_per_update:,} = {rows}"),
        ("rollouts per step", rollouts),
        ("rollouts per evaluation", f"{plan.num_evaluation_rollouts:,}"),
    ]


def _describe_memory(job: Job) -> list[tuple[str, str]]:
    shape = model_shape(job.model) or job.run.model_shape
    return describe_memory(job.run, job.plan, job.model, shape)

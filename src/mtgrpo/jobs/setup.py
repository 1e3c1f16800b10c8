"""A configuration made concrete before a model is loaded: tasks, batch arithmetic, TRL's arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mtgrpo import tiny
from mtgrpo.config import ResolvedRun
from mtgrpo.core.weightings import Sequential
from mtgrpo.errors import ConfigError, require, unknown
from mtgrpo.jobs.memory import describe_memory
from mtgrpo.plan import Plan, make_plan
from mtgrpo.tasks import TaskSet, build_tasks
from mtgrpo.values import check_type

NUMBERS = (int, float, int | None, float | None)


@dataclass(frozen=True)
class Job:
    """A configuration made concrete, before a model is loaded.

    Attributes:
        config: Resolved configuration.
        tasks: Its tasks, with test rows cut to ``evaluation.prompts_per_task``.
        plan: Batch arithmetic for this number of processes.
        model: Directory or hub name.
        trl: Arguments of TRL's ``GRPOConfig``.
    """

    config: ResolvedRun
    tasks: TaskSet
    plan: Plan
    model: str
    trl: Mapping[str, Any]


def prepare(config: ResolvedRun) -> Job:
    """Check everything that can be checked without a model.

    Raises:
        ConfigError: Tasks, batch arithmetic or TRL's fields cannot work.
    """
    tasks = build_tasks(config.tasks, "tasks")
    tasks.check_disjoint()
    limit = config.evaluation.prompts_per_task
    if limit is not None:
        tasks = TaskSet(
            *(replace(t, test=[t.test[i] for i in range(min(limit, len(t.test)))]) for t in tasks)
        )
    weighting = config.method.weighting
    if isinstance(weighting, Sequential) and not weighting.phases:
        phases = _families(tasks)
        weighting = Sequential(phases, -(-config.steps // len(phases)))
        config = replace(config, method=replace(config.method, weighting=weighting))
    config.method.make_mixer(tasks.names, batch_size=config.batch_size)  # it fits the tasks
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    plan = make_plan(
        config, world_size=world_size, num_test_prompts=sum(len(t.test) for t in tasks)
    )
    model = str(tiny.model_path()) if config.model == "tiny" else config.model
    return Job(config, tasks, plan, model, _grpo_arguments(config, plan))


def _families(tasks: TaskSet) -> list[list[str]]:
    families: dict[str, list[str]] = {}
    for task in tasks:
        families.setdefault(task.family or task.name, []).append(task.name)
    return list(families.values())


def _grpo_arguments(config: ResolvedRun, plan: Plan) -> dict[str, Any]:
    torch, trl = require("torch", "trl"), require("trl", "trl")
    on_cpu = not torch.cuda.is_available()
    updates, samples = config.updates_per_step, config.evaluation.samples_per_prompt
    managed = {
        "output_dir": str(Path(config.output) / "checkpoints"),
        "per_device_train_batch_size": plan.micro_batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "steps_per_generation": plan.steps_per_generation,
        "num_generations": config.group_size,
        "num_generations_eval": samples,
        "max_steps": plan.optimizer_steps,
        "learning_rate": config.learning_rate,
        "max_completion_length": config.max_completion_length,
        "seed": config.seed,
        "save_strategy": "steps",
        "save_steps": (config.checkpoint.every or config.steps) * updates,
        "save_total_limit": config.checkpoint.keep,
        "eval_strategy": "steps" if config.evaluation.every else "no",
        "eval_steps": (config.evaluation.every or config.steps) * updates,
        "logging_steps": updates,
    }
    defaults = {
        # Whole groups per process, and about as many rows as a training forward pass takes.
        "per_device_eval_batch_size": max(1, max(plan.micro_batch_size, 64) // samples) * samples,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "gradient_checkpointing": not on_cpu,
    }
    known = {f.name: f.type for f in fields(trl.GRPOConfig)}
    for key in config.trl:
        if key in managed:
            raise ConfigError(
                f"trl.{key}: derived from this configuration's own keys; change those instead"
            )
        if key not in known:
            raise ConfigError(unknown("trl", "GRPOConfig field", key, known))
        if known[key] in NUMBERS:  # TRL would only find out in the middle of a step
            check_type(config.trl[key], known[key], f"trl.{key}")
    return {**defaults, **config.trl, **managed}


def describe_job(config: ResolvedRun) -> dict[str, list[tuple[str, str]]]:
    """The resolved plan, in sections of lines, for ``--dry-run``. Loads no weights.

    Raises:
        ConfigError: As `prepare`.
    """
    job = prepare(config)
    config, plan = job.config, job.plan
    method = config.method.as_dict()
    trained = {f.removeprefix("_"): str(v) for f, v in sorted(job.trl.items())}
    return {
        "run": [
            ("model", job.model),
            ("method", f"{config.preset} ({config.variant}, {config.setting})"),
            ("output", config.output),
        ],
        "tasks": [
            (t.name, f"{len(t.train):,} train, {len(t.test):,} test rows") for t in job.tasks
        ],
        "weighting": [(k, str(v)) for k, v in method["weighting"].items()],
        "sampler": [(k, str(v)) for k, v in method["sampler"].items()],
        "batch": [
            ("steps", f"{config.steps:,} ({plan.optimizer_steps:,} policy updates)"),
            (
                "groups per step",
                f"{config.batch_size} of {config.group_size} completions = {plan.rows_per_step:,} rows",
            ),
            (
                "rows per update",
                f"{plan.rows_per_update:,} = {plan.world_size} processes x {plan.gradient_accumulation_steps} "
                f"accumulation steps x {plan.micro_batch_size} rows",
            ),
            (
                "rollouts per step",
                f"{plan.min_rollouts:,} to {plan.max_rollouts:,} (the budget of rounds)",
            ),
            ("rollouts per evaluation", f"{plan.num_evaluation_rollouts:,}"),
        ],
        "memory": describe_memory(config, plan, job.model),
        "GRPOConfig": list(trained.items()),
    }

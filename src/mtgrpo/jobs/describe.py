"""A run in words, before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtgrpo.config import ResolvedRun
from mtgrpo.core.budget import Budget
from mtgrpo.core.method import show_value
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.errors import ConfigError, MtgrpoError, counted, did_you_mean
from mtgrpo.jobs.adapter_size import AdapterSize, adapter_size
from mtgrpo.jobs.forecast import describe_forecast
from mtgrpo.jobs.memory import describe_memory
from mtgrpo.jobs.model_files import ModelFiles, find_model
from mtgrpo.jobs.named_models import MODEL_NAMES, is_to_be_made, known_shape
from mtgrpo.jobs.resume import check_same_run
from mtgrpo.jobs.setup import Job, blaming, check_chat, prepare
from mtgrpo.plan import Plan
from mtgrpo.runlog import read_logged_steps
from mtgrpo.runlog.checkpoints import checkpoint_step, newest
from mtgrpo.runlog.output import check_output
from mtgrpo.tasks import Task

Sections = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Description:
    """A run in words.

    Attributes:
        sections: Lines of key and value, by section.
        problems: What would keep it from starting.
    """

    sections: Sections
    problems: tuple[str, ...] = ()


def describe_job(run: ResolvedRun, *, resume: bool = False) -> Description:
    """The resolved plan, in sections of lines, for ``--dry-run``. Nothing is loaded or changed.

    Args:
        run: The run.
        resume: Whether it is to go on with the run in its output directory.

    Raises:
        ConfigError: As `prepare`.
    """
    job = prepare(run)
    method = job.run.as_dict()

    problems: list[str] = []
    model = _checked(lambda: _describe_model(job), run, problems)
    output = _checked(lambda: _describe_output(job.run, resume=resume), run, problems)

    sections: Sections = {
        "run": [
            ("model", f"{job.model}{model}"),
            ("method", f"{run.preset} ({run.variant}, {run.setting})"),
            ("output", f"{run.output}{output}"),
        ],
        "tasks": [(task.name, _describe_task(task)) for task in job.tasks],
        "weighting": [(key, show_value(value)) for key, value in method["weighting"].items()],
        "sampler": [(key, show_value(value)) for key, value in method["sampler"].items()],
        "batch": _describe_batch(job),
        "whole run": describe_forecast(job.run, job.plan),
        "memory": _describe_memory(job, problems),
        "GRPOConfig": [(key, show_value(value)) for key, value in sorted(job.trl.items())],
    }
    return Description(sections, tuple(problems))


def _checked(describe: Callable[[], str], run: ResolvedRun, problems: list[str]) -> str:
    try:
        with blaming(run):
            return describe()
    except MtgrpoError as error:
        problems.append(str(error))
        return ""


def _describe_model(job: Job) -> str:
    check_chat(job)
    if is_to_be_made(job.run.model):
        return " (made at the first use)"

    model = job.model
    files = find_model(model)
    if files is None:
        return f" (not on this machine: a hub name, not checked){did_you_mean(model, MODEL_NAMES)}"

    missing: list[str] = []
    if not files.has_weights:
        missing.append("weights")
    if not files.has_tokenizer:
        missing.append("tokenizer")
    if missing:
        raise ConfigError(
            f"model: {model!r} has no {' and no '.join(missing)}; give a directory with the model "
            "and its tokenizer, or a hub name"
        )
    return ""


def _describe_task(task: Task) -> str:
    rows = f"{len(task.train):,} train, {counted(len(task.test), 'test row')}"
    if task.from_step or task.until_step is not None:
        first = f"from step {task.from_step + 1:,}"
        last = "on" if task.until_step is None else f"to {task.until_step:,}"
        rows = f"{rows}, trained on {first} {last}"

    return f"{rows}; {task.generation.in_words()}" if task.generation else rows


def _describe_output(run: ResolvedRun, *, resume: bool) -> str:
    out = Path(run.output)
    if not resume or not (out / "config.yaml").is_file():
        check_output(out)
        return " (new: no run to resume there)" if resume else " (new)"

    check_same_run(out, run)
    last = newest(out / "checkpoints", read_logged_steps(out)).path
    return f" (goes on from step {0 if last is None else checkpoint_step(last)})"


def _describe_batch(job: Job) -> list[tuple[str, str]]:
    run, plan = job.run, job.plan
    completions = f"{run.batch_size} of {run.group_size} completions"
    rows = (
        f"{counted(plan.world_size, 'process', 'processes')} x "
        f"{counted(plan.gradient_accumulation_steps, 'accumulation step')} x "
        f"{counted(plan.micro_batch_size, 'row')}"
    )

    return [
        ("steps", f"{run.steps:,} ({counted(plan.optimizer_steps, 'policy update')})"),
        ("groups per step", f"{completions} = {plan.rows_per_step:,} rows"),
        ("rows per update", f"{plan.rows_per_update:,} = {rows}"),
        ("rollouts per step", _describe_rollouts(run, plan)),
        ("rollouts per evaluation", f"{plan.num_evaluation_rollouts:,}"),
    ]


def _describe_rollouts(run: ResolvedRun, plan: Plan) -> str:
    sampler = run.method.sampler
    if not isinstance(sampler, OneRoundSampler):
        return f"{plan.min_rollouts:,} to {plan.max_rollouts:,} (the budget of rounds)"
    if plan.min_rollouts == plan.max_rollouts:
        return f"{plan.max_rollouts:,} in one round"

    budget = Budget(sampler.budget)
    return (
        f"as many as cost {budget.amount:,g} {budget.unit}, in one round of at most "
        f"{plan.max_rollouts:,} (the first step's)"
    )


def _describe_memory(job: Job, problems: list[str]) -> list[tuple[str, str]]:
    files: ModelFiles | None = None
    with contextlib.suppress(ConfigError):  # said among the problems
        files = find_model(job.model)

    adapter: AdapterSize | None = None
    try:
        with blaming(job.run):
            if job.run.peft is not None and files is not None:
                adapter = adapter_size(job.run.peft, files)
    except ConfigError as error:
        problems.append(str(error))

    shape = job.run.model_shape or known_shape(job.run.model)
    if files is not None:
        shape = files.shape or shape
    return describe_memory(job.run, job.plan, job.model, shape, adapter)

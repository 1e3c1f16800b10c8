"""What a model does on a configuration's tasks before any training."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mtgrpo.config import ResolvedRun, load_config, origin_with
from mtgrpo.errors import ConfigError, MtgrpoError
from mtgrpo.evidence.profile import MixtureProfile, TaskProfile, task_profile
from mtgrpo.jobs.named_models import make_model
from mtgrpo.jobs.run import adapter_arguments
from mtgrpo.jobs.setup import blaming, prepare
from mtgrpo.smollm2 import NAMES as SMOLLM2
from mtgrpo.tasks import Row, Task, TaskSet
from mtgrpo.tasks.policy import IN_PROCESS
from mtgrpo.tasks.probes import as_completion
from mtgrpo.tasks.tiny.catalogue import FAMILIES, LEVELS

TINY_TASKS = [{"tiny": family, "level": level} for level in LEVELS for family in FAMILIES]
"""What the embedded model is profiled on when it is named without a configuration."""


def profiled_run(
    source: str, overrides: Sequence[str] = (), model: str | None = None
) -> ResolvedRun:
    """The run to profile.

    Args:
        source: A configuration as `load_config` takes it, or a model with tasks of its own:
            ``tiny`` with all nine, ``smollm2`` and ``smollm2-warm`` with those of the demo.
        overrides: As `load_config`.
        model: In place of the configuration's.

    Raises:
        ConfigError: As `load_config`.
    """
    if source == "tiny":
        run = replace(load_config("demo", overrides), tasks=TINY_TASKS)
    elif source in SMOLLM2:
        run = replace(load_config("smollm2_demo", overrides), model=source)
    else:
        run = load_config(source, overrides)

    if model is None:
        return run
    return replace(run, model=model, origin=origin_with(run.origin, f"--model {model}"))


def profile(
    run: ResolvedRun,
    *,
    num_prompts: int = 32,
    tell: Callable[[str], None] = lambda _: None,
) -> MixtureProfile:
    """Ask prompts of every task, each as often as in training.

    Prompts are drawn from the training rows: they are what training will meet, and test rows are
    not for choosing tasks by.

    Args:
        run: Its tasks and model; ``group_size`` and ``seed`` say how often and which.
        num_prompts: Prompts per task.
        tell: Called with each task's name before it is measured.

    Raises:
        ConfigError: As `prepare`, or all tasks are graded, or the model cannot be loaded.
    """
    unwatched = replace(run.evaluation, every=0)  # no test rows are needed
    job = prepare(replace(run, evaluation=unwatched))
    asked = TaskSet(*(_drawn(task, num_prompts, run.seed) for task in _trained(job.tasks)))

    if all(_surely_graded(task) for task in asked):
        raise _all_graded(asked.names)

    from mtgrpo.integrations.trl.job import make_trainer
    from mtgrpo.integrations.trl.profiling import measure_tasks

    with tempfile.TemporaryDirectory() as scratch:
        arguments = {
            **job.trl,
            "output_dir": scratch,
            "report_to": "none",
            "num_generations_eval": run.group_size,
            "per_device_eval_batch_size": run.group_size * max(1, 64 // run.group_size),
        }
        with blaming(run):
            make_model(run.model)
            trainer = make_trainer(
                job.run, tasks=asked, arguments=arguments, **adapter_arguments(job, job.model)
            )
        with contextlib.closing(trainer.step.scorer):
            measured = measure_tasks(trainer, tell)

    profiles: list[TaskProfile] = []
    graded: list[str] = []
    for task in asked:
        sampled = measured[task.name]
        if sampled.result is not None and sampled.result.measure != "accuracy":
            graded.append(task.name)
            continue

        accuracies = () if sampled.result is None else sampled.result.prompt_accuracies
        profiles.append(
            task_profile(
                task.name,
                accuracies,
                group_size=run.group_size,
                tokens=sampled.tokens,
                seconds=sampled.seconds / max(1, len(task.test) * run.group_size),
                family=task.family or task.name,
                level=task.level or "",
            )
        )

    if not profiles:
        raise _all_graded(graded)
    return MixtureProfile(run.model, tuple(profiles), tuple(graded))


def _surely_graded(task: Task) -> bool:
    """Whether a task has no notion of right, as far as its reward says of an empty completion."""
    if task.correct_at is not None:
        return False
    if task.scoring != IN_PROCESS or not len(task.test):
        return False  # it may hang, or need a process of its own

    row = task.test[0]
    try:
        return task.score([row], [as_completion(row, "")])[0].accuracy is None
    except MtgrpoError:
        return False  # only the model's completions will tell


def _all_graded(names: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"profile: all tasks ({', '.join(names)}) are graded by their rewards alone; a "
        "profile counts right completions; give them correct_at"
    )


def _trained(tasks: TaskSet) -> list[Task]:
    return [tasks[name] for name in tasks.trained]


def _drawn(task: Task, num: int, seed: int) -> Task:
    """The task with some of its training rows in the place of its test rows."""
    size = len(task.train)
    chosen = random.Random(f"{seed}:{task.name}").sample(range(size), min(num, size))
    return replace(task, train=_Unseen(task.train), test=[task.train[i] for i in chosen])


class _Unseen(Sequence[Row]):
    """Rows that nothing looks through: a profile asks some of them as test rows on purpose."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

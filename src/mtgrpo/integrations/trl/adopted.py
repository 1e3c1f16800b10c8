"""Other tasks for a trainer in the middle of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.datasets import one_kind_of_prompt
from mtgrpo.integrations.trl.rollouts import InputRows
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.tasks.task_set import TaskSet


def adopt_tasks(trainer: Any, tasks: TaskSet) -> None:
    """Let a trainer train on these tasks from the next step on.

    Those that it had before are evaluated still. Nothing has changed when this is refused.

    Args:
        trainer: A `MultiTaskGRPOTrainer` with tasks.
        tasks: What is trained on; tasks of a name that is there already take its place.

    Raises:
        ConfigError: The trainer is one of datasets, there is nothing to train on, or the method
            cannot follow.
        TaskError: A prompt cannot be used, or is both trained and tested on.
    """
    if trainer.data.of_datasets:
        raise ConfigError(
            f"{WHERE}: change_tasks: rows and rewards are those of datasets; give the trainer "
            "tasks= to change them"
        )
    if not isinstance(cast("object", tasks), TaskSet):
        raise ConfigError(
            f"{WHERE}: change_tasks: found a {type(tasks).__name__}; a TaskSet is needed"
        )

    # Old ones first: rows of a half used batch know their tasks by their numbers.
    known = {task.name: task for task in trainer.tasks} | {task.name: task for task in tasks}
    every = one_kind_of_prompt(TaskSet(*known.values()))
    every.check_disjoint()

    rows: InputRows = trainer.rows
    rows.prompts.check_all(every)
    sampling = trainer.sampling.with_tasks(every, trainer)
    trainer.step.changing.replace(TaskSet(*(every[name] for name in tasks.names)))

    rows.tasks = trainer.tasks = trainer.banked.tasks = trainer.checkpoints.tasks = every
    trainer.sampling = sampling
    trainer.data = replace(trainer.data, tasks=every)
    trainer.step.scorer.change_tasks(every)
    trainer.step.drop_limit.change_policies({task.name: task.scoring for task in every})
    trainer.shares.names = trainer.meter.names = every.names

    trainer.evaluation.change_rows(rows)
    trainer.eval_dataset = trainer.evaluation.rows

"""What cannot work is refused, each at the first moment that it can be known."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from trl import GRPOConfig

from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.banked import check_bank
from mtgrpo.integrations.trl.schedule import WHERE, Schedule
from mtgrpo.tasks.task_set import TaskSet


def check_arguments(
    tasks: Any,
    args: GRPOConfig,
    schedule: Schedule,
    weighting: TaskWeighting,
    reward_funcs: Any,
    train_dataset: Any,
    eval_dataset: Any,
) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: With the argument's name and the way out.
    """
    if not isinstance(tasks, TaskSet):
        raise ConfigError(
            f"{WHERE}: tasks is a {type(tasks).__name__}; a TaskSet is needed: TaskSet(task, ...)"
        )

    for name, value in (
        ("reward_funcs", reward_funcs),
        ("train_dataset", train_dataset),
        ("eval_dataset", eval_dataset),
        ("args.reward_weights", args.reward_weights),
    ):
        if value is not None:
            raise ConfigError(
                f"{WHERE}: {name} was given, but rows and rewards come from the tasks; "
                "put them into Task(name, train, test, reward)"
            )

    if weighting.uses_improvements and schedule.cycle % schedule.accumulation:
        raise ConfigError(
            f"{WHERE}: the weighting measures improvements per policy update, but "
            f"steps_per_generation={schedule.slices} x num_iterations={args.num_iterations} is no "
            f"multiple of gradient_accumulation_steps={schedule.accumulation}; make it one"
        )

    if args.eval_strategy != "no" and not any(len(task.test) for task in tasks):
        strategy = IntervalStrategy(args.eval_strategy).value
        raise ConfigError(
            f"{WHERE}: args.eval_strategy={strategy!r}, but no task has test rows; "
            "give tasks test rows, or set eval_strategy='no'"
        )


def check_trainer(trainer: Any) -> None:
    """Refuse what only shows once TRL has set up the model.

    Args:
        trainer: Ours, complete.

    Raises:
        ConfigError: With the reason and the way out.
    """
    prompts = trainer.rows.prompts
    if not trainer._is_vlm:
        prompts.refuse_images("this model reads none")
    check_bank(trainer, trainer.mixer, prompts)


def check_evaluation(
    args: TrainingArguments, schedule: Schedule, eval_dataset: Any, test_rows: Any
) -> None:
    """Refuse an evaluation that cannot be right.

    Raises:
        ConfigError: A dataset was given, there are no test rows, or batches would cut prompts
            apart.
    """
    if eval_dataset is not None:
        raise ConfigError(
            "evaluate: eval_dataset was given, but test rows come from the tasks; "
            "put them into Task.test"
        )
    if test_rows is None:
        raise ConfigError("evaluate: no task has test rows; give at least one task test rows")

    num_samples = schedule.eval_group_size
    if args.per_device_eval_batch_size * args.world_size % num_samples:
        raise ConfigError(
            f"evaluate: args.per_device_eval_batch_size={args.per_device_eval_batch_size} on "
            f"{args.world_size} processes cannot hold whole groups of {num_samples} samples; "
            f"make their product a multiple of {num_samples}"
        )

"""What must hold before a model is loaded, and what plain TRL does that its users should know."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from trl import GRPOConfig

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.surrogate import SurrogateMeter
from mtgrpo.tasks.task_set import TaskSet

WHERE = "MultiTaskGRPOTrainer"

logger = logging.getLogger("mtgrpo")


@dataclass(frozen=True, slots=True)
class Schedule:
    """TRL's batch arithmetic, as far as the mixer is concerned.

    Attributes:
        batch_size: Groups per generation batch, over all processes: the mixer's B.
        group_size: Completions per group, G.
        eval_group_size: Completions per test prompt.
        accumulation: Forward passes per policy update.
        slices: Forward passes in which a generation batch is used once.
        cycle: Forward passes from one generation batch to the next.
    """

    batch_size: int
    group_size: int
    eval_group_size: int
    accumulation: int
    slices: int
    cycle: int

    @property
    def updates(self) -> float:
        """Policy updates per generation batch."""
        return self.cycle / self.accumulation


def make_schedule(args: GRPOConfig) -> Schedule:
    """The schedule of TRL's arguments.

    Raises:
        ConfigError: Groups of one, or batches that cut groups or processes apart.
    """
    size = args.num_generations or 0
    if size < 2:
        raise ConfigError(
            f"{WHERE}: args.num_generations={size}; GRPO compares completions of one prompt, "
            "at least 2 are needed"
        )
    rows, slices = args.generation_batch_size or 0, args.steps_per_generation or 1
    groups, rest = divmod(rows, size)
    if rest or groups % args.world_size:
        raise ConfigError(
            f"{WHERE}: args.generation_batch_size={rows} completions do not divide into whole "
            f"groups of {size} on each of {args.world_size} processes; make "
            "per_device_train_batch_size x processes x steps_per_generation a multiple of "
            f"{size * args.world_size}"
        )
    samples = args.num_generations_eval or size
    return Schedule(
        groups,
        size,
        samples,
        args.gradient_accumulation_steps,
        slices,
        slices * args.num_iterations,
    )


def default_args(model: Any) -> GRPOConfig:
    """TRL's own default: a run directory named after the model."""
    name = model if isinstance(model, str) else str(getattr(model.config, "_name_or_path", "model"))
    return GRPOConfig(f"{name.rstrip('/').rpartition('/')[2] or 'model'}-GRPO")


def find_method(method: Method | str | None, *, is_plain: bool = False) -> Method:
    """The method itself, the preset of that name, or the default.

    Args:
        method: What was asked for.
        is_plain: Whether there is one task of a dataset, for which nothing is to be balanced.

    Raises:
        ConfigError: Something else, or an unknown name.
    """
    if method is None and is_plain:
        return replace(presets.get("grpo"), clip=None)
    if method is None:
        return Method()
    if isinstance(method, str):
        return presets.get(method)
    if isinstance(method, Method):
        return method
    raise ConfigError(
        f"{WHERE}: method is {method!r}; a Method is needed, or the name of a preset; "
        "write method=Method(weighting, sampler)"
    )


def with_clip(args: GRPOConfig, method: Method) -> GRPOConfig:
    """`args`, with the method's clip where they leave it at TRL's defaults."""
    is_default = args.epsilon == GRPOConfig.epsilon and args.epsilon_high is None
    if method.clip is None or not is_default:
        return args

    args = copy.copy(args)
    args.epsilon, args.epsilon_high = method.clip
    return args


def check_sources(
    tasks: Any,
    args: GRPOConfig,
    reward_funcs: Any,
    data: Mapping[str, Any],
    of_rewards: Mapping[str, Any],
) -> None:
    """Refuse rows and rewards from two sides.

    Args:
        tasks: The trainer's argument.
        args: TRL's.
        reward_funcs: The trainer's argument.
        data: Those that give rows, by name.
        of_rewards: Those that say what rewards mean, by name.

    Raises:
        ConfigError: With the argument's name and the way out.
    """
    if isinstance(reward_funcs, TaskSet):
        raise ConfigError(
            f"{WHERE}: a TaskSet was given in the place of reward_funcs; write tasks=tasks"
        )
    if tasks is None:
        return

    rows = {"reward_funcs": reward_funcs, **data, "args.reward_weights": args.reward_weights}
    for name, value in rows.items():
        if value is not None:
            raise ConfigError(
                f"{WHERE}: {name} was given, but rows and rewards come from the tasks; "
                "put them into Task(name, train, test, reward), or leave out tasks="
            )
    for name, value in of_rewards.items():
        if value is not None:
            raise ConfigError(
                f"{WHERE}: {name} was given beside tasks=; put it into the Task, whose reward may "
                "return Score(reward, accuracy)"
            )


def check_arguments(
    tasks: TaskSet | None, args: GRPOConfig, schedule: Schedule, weighting: TaskWeighting
) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: With the argument's name and the way out.
    """
    if weighting.uses_improvements and schedule.cycle % schedule.accumulation:
        raise ConfigError(
            f"{WHERE}: the weighting measures improvements per policy update, but "
            f"steps_per_generation={schedule.slices} x num_iterations={args.num_iterations} is no "
            f"multiple of gradient_accumulation_steps={schedule.accumulation}; make it one"
        )
    # transformers puts "loss" where nothing is named.
    best = args.metric_for_best_model
    if args.load_best_model_at_end and best in (None, "loss", "eval_loss"):
        raise ConfigError(
            f"{WHERE}: args.load_best_model_at_end=True with metric_for_best_model={best!r}; "
            "GRPO's loss does not say which model is better; name another metric, such as "
            "'tasks/worst_accuracy' or 'reward', with greater_is_better=True"
        )
    if tasks is None or args.eval_strategy == "no":
        return
    if not any(len(task.test) for task in tasks):
        strategy = IntervalStrategy(args.eval_strategy).value
        raise ConfigError(
            f"{WHERE}: args.eval_strategy={strategy!r}, but no task has test rows; "
            "give tasks test rows, or set eval_strategy='no'"
        )


def warn_about_batch(schedule: Schedule, num_tasks: int) -> None:
    """Log where a batch has fewer groups than there are tasks."""
    if schedule.batch_size < num_tasks:
        rows = schedule.batch_size * schedule.group_size
        logger.warning(
            "%s: a generation batch of %d completions holds %d group%s of %d, fewer than there are "
            "tasks (%d): not every task is in every step; make per_device_train_batch_size x "
            "processes x steps_per_generation at least %d, or num_generations smaller",
            WHERE,
            rows,
            schedule.batch_size,
            "" if schedule.batch_size == 1 else "s",
            schedule.group_size,
            num_tasks,
            num_tasks * schedule.group_size,
        )


def warn_about_shares(schedule: Schedule) -> None:
    """Log where single policy updates do not have the exact shares."""
    if schedule.slices > schedule.accumulation:
        logger.warning(
            "%s: task shares are exact per generation batch (%g policy updates); "
            "TRL shuffles its completions, so single updates vary around them",
            WHERE,
            schedule.slices / schedule.accumulation,
        )


def trained_names(tasks: TaskSet) -> tuple[str, ...]:
    """The tasks that have rows to train on; all of them when none has, for evaluation alone."""
    return tuple(task.name for task in tasks if len(task.train)) or tasks.names


def families(tasks: TaskSet) -> dict[str, str]:
    """The family of each task to train on that has one."""
    pairs = ((name, tasks[name].family) for name in trained_names(tasks))
    return {name: family for name, family in pairs if family}


def make_streams(
    tasks: TaskSet, seed: int, *, remember: bool, shuffle: bool = True
) -> dict[str, PromptStream]:
    """The prompts of each task that has rows to train on."""
    return {
        task.name: PromptStream(
            task.name, len(task.train), seed, remember=remember, shuffle=shuffle
        )
        for task in tasks
        if len(task.train)
    }


def make_meter(tasks: TaskSet, args: GRPOConfig, method: Method) -> SurrogateMeter:
    """The meter of I_k, switched on if the weighting uses it."""
    return SurrogateMeter(
        tasks.names,
        method.surrogate,
        epsilon_low=args.epsilon,
        epsilon_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
        level=args.importance_sampling_level,
        on=method.weighting.uses_improvements,
    )


def placeholder_dataset(sizes: Iterable[int], batch_size: int, most: int = 2**20) -> Dataset:
    """A dataset without content for TRL's loader: an epoch has a group for each training row.

    Args:
        sizes: Number of training rows of each task.
        batch_size: Groups per generation batch.
        most: Largest number of rows of an epoch.
    """
    size = min(sum(sizes), most)
    return Dataset.from_dict({"prompt": [""] * (max(1, -(-size // batch_size)) * batch_size)})


def check_test_rows(eval_dataset: Any, test_rows: Any) -> None:
    """Refuse an evaluation of tasks on other rows than theirs, or on none.

    Raises:
        ConfigError: With the way out.
    """
    if eval_dataset is not None:
        raise ConfigError(
            "evaluate: eval_dataset was given, but test rows come from the tasks; "
            "put them into Task.test"
        )
    if test_rows is None:
        raise ConfigError("evaluate: no task has test rows; give at least one task test rows")


def check_eval_batches(args: TrainingArguments, schedule: Schedule) -> None:
    """Refuse an evaluation whose batches would cut prompts apart.

    Raises:
        ConfigError: With the way out.
    """
    num_samples = schedule.eval_group_size
    if args.per_device_eval_batch_size * args.world_size % num_samples:
        raise ConfigError(
            f"evaluate: args.per_device_eval_batch_size={args.per_device_eval_batch_size} on "
            f"{args.world_size} processes cannot hold whole groups of {num_samples} samples; "
            f"make their product a multiple of {num_samples}"
        )

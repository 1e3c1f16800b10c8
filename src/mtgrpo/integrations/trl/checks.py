"""What cannot work is refused, each at the first moment that it can be known."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from trl import GRPOConfig

from mtgrpo.core.one_round import refuse_probes
from mtgrpo.core.weightings.base import TaskWeighting
from mtgrpo.errors import ConfigError, counted
from mtgrpo.integrations.trl.banked import settle_bank
from mtgrpo.integrations.trl.schedule import WHERE, Schedule
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.task_set import TaskSet


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
        args: TRL's `GRPOConfig`.
        reward_funcs: The trainer's argument.
        data: Those that give rows, by name.
        of_rewards: Those that say what rewards mean, by name.

    Raises:
        ConfigError: With the argument's name and the way out.
    """
    if not isinstance(args, GRPOConfig):
        raise ConfigError(f"{WHERE}: args is a {type(args).__name__}; a GRPOConfig is needed")
    _check_weights(args.reward_weights)
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


def _check_weights(weights: Sequence[float] | None) -> None:
    if weights is None:
        return
    if not all(math.isfinite(weight) for weight in weights):
        raise ConfigError(
            f"{WHERE}: args.reward_weights={list(weights)}; finite numbers are needed"
        )
    if weights and not any(weights):
        raise ConfigError(
            f"{WHERE}: args.reward_weights={list(weights)}: no reward counts; give one of them "
            "another weight than 0"
        )


def check_own(
    *, switches: Mapping[str, Any], eval_seed: Any, run_log: Any, on_mixer_step: Any
) -> None:
    """Refuse arguments of ours that are of another kind than they should be.

    Args:
        switches: Those that are True or False, by name.
        eval_seed: The trainer's argument.
        run_log: The trainer's argument.
        on_mixer_step: The trainer's argument.

    Raises:
        ConfigError: With the argument's name and what is needed.
    """
    needed = {
        name: (value, isinstance(value, bool), "True or False") for name, value in switches.items()
    }
    needed |= {
        "eval_seed": (eval_seed, _is_seed(eval_seed), "a whole number, 0 or more,"),
        "run_log": (run_log, run_log is None or isinstance(run_log, RunLog), "RunLog(folder)"),
        "on_mixer_step": (
            on_mixer_step,
            on_mixer_step is None or callable(on_mixer_step),
            "a function of step and report",
        ),
    }
    for name, (value, is_good, what) in needed.items():
        if not is_good:
            raise ConfigError(f"{WHERE}: {name} is {value!r}; {what} is needed")


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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


def check_trainer(trainer: Any) -> None:
    """Refuse what only shows once TRL has set up the model.

    Args:
        trainer: Ours, complete.

    Raises:
        ConfigError: With the reason and the way out.
    """
    trainer.sampling.check_model(trainer)
    if trainer.environment_factories is not None:
        refuse_probes(trainer.mixer.sampler, f"{WHERE}: with environments")
    if trainer.data.of_datasets:
        settle_bank(trainer, trainer.mixer, has_images=trainer._is_vlm)
        return

    prompts = trainer.rows.prompts
    if not trainer._is_vlm:
        prompts.refuse_images("this model reads none")
    if prompts.kind is not None and prompts.kind.is_chat:
        check_chat_template(trainer.processing_class)
    settle_bank(trainer, trainer.mixer, has_images=bool(prompts.images_at))


def check_chat_template(tokenizer: Any, where: str = WHERE) -> None:
    """Refuse chat prompts where nothing says how they are written.

    Raises:
        ConfigError: With the way out.
    """
    # Processors of images, and tokenizers that write chats in a way of their own, are left alone.
    usual = PreTrainedTokenizerBase.apply_chat_template
    is_usual = getattr(type(tokenizer), "apply_chat_template", None) is usual
    if is_usual and not tokenizer.chat_template:
        raise ConfigError(
            f"{where}: prompts are chat messages, but the model's tokenizer has no chat template; "
            "give a model whose tokenizer has one, or make the prompts texts"
        )


def check_evaluation(trainer: Any, eval_dataset: Any) -> None:
    """Refuse an evaluation that cannot work.

    Args:
        trainer: Ours.
        eval_dataset: What to evaluate, in place of the trainer's own.

    Raises:
        ConfigError: Test rows are missing, or batches cut prompts apart; with the way out.
    """
    if not trainer.data.of_datasets:
        check_test_rows(eval_dataset, trainer.eval_dataset)
    check_eval_batches(trainer.args, trainer.schedule)


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
            f"{counted(args.world_size, 'process', 'processes')} cannot hold whole groups of "
            f"{counted(num_samples, 'sample')}; "
            f"make their product a multiple of {num_samples}"
        )

"""A resolved run and TRL's arguments -> the trainer."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl.trainer.grpo_config import GRPOConfig

from mtgrpo.config import ResolvedRun
from mtgrpo.core.report import StepReport
from mtgrpo.errors import ConfigError, MtgrpoError
from mtgrpo.integrations.trl.adapters import with_adapter
from mtgrpo.integrations.trl.own_code import trainer_parts
from mtgrpo.integrations.trl.trainer import MultiTaskGRPOTrainer
from mtgrpo.runlog import RunLog
from mtgrpo.tasks import TaskSet

SHOWN_OF_AN_ERROR = 200
"""Characters."""


def machine_arguments() -> dict[str, Any]:
    """Arguments of ``GRPOConfig`` that depend on whether there is a GPU, where none are stated."""
    on_cpu = not torch.cuda.is_available()
    return {"use_cpu": on_cpu, "bf16": not on_cpu, "gradient_checkpointing": not on_cpu}


def make_trainer(
    run: ResolvedRun,
    model: str,
    tasks: TaskSet,
    arguments: Mapping[str, Any],
    *,
    adapter: str | None = None,
    run_log: RunLog | None = None,
    on_mixer_step: Callable[[int, StepReport], None] | None = None,
) -> MultiTaskGRPOTrainer:
    """The trainer of a run, with its model loaded.

    Args:
        run: The run.
        model: Directory or hub name.
        tasks: Its tasks.
        arguments: From `mtgrpo.integrations.trl.grpo_arguments.grpo_arguments`.
        adapter: Directory of one that was trained, for a trainer that only evaluates and saves.
        run_log: Where steps and evaluations are logged.
        on_mixer_step: Called with each step's number and report.

    Raises:
        ConfigError: TRL refuses an argument, or the model cannot be loaded.
    """
    torch.set_num_threads(run.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # a bar for each file of a checkpoint would bury the step lines

    try:
        args = GRPOConfig(**{**machine_arguments(), **arguments})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trl: {' '.join(str(error).split())}") from error

    parts = trainer_parts(run, tasks)

    share_prompts = run.share_prompts
    if share_prompts is None:
        share_prompts = not torch.cuda.is_available()

    try:
        if adapter is not None:
            parts["peft_config"] = None
            args.beta = 0.0  # no step is taken: TRL would keep a copy, and save it too

        trainer = MultiTaskGRPOTrainer(
            model if adapter is None else with_adapter(model, adapter, args),
            tasks=tasks,
            args=args,
            method=run.method,
            share_prompts=share_prompts,
            eval_seed=run.evaluation.seed,
            run_log=run_log,
            on_mixer_step=on_mixer_step,
            **parts,
        )
    # transformers, tokenizers and safetensors have no common class for what they cannot load.
    except Exception as error:
        reason = " ".join(str(error).split())[:SHOWN_OF_AN_ERROR]
        if not isinstance(error, MtgrpoError) and _is_refusal(error):
            raise ConfigError(f"{'peft' if run.peft else 'trl'}: refused: {reason}") from error

        if isinstance(error, MtgrpoError) or not _was_loading(error):
            raise

        raise ConfigError(
            f"model: {model!r} cannot be loaded ({reason}); give a directory with the model and "
            "its tokenizer, or a hub name"
        ) from error

    trainer.remove_callback(PrinterCallback)  # it prints every metric of every step
    trainer.add_callback(StatedIntervals)

    return trainer


def _is_refusal(error: Exception) -> bool:
    """Whether TRL or peft raised it of their own accord, of what they were given."""
    frames = traceback.extract_tb(error.__traceback__)
    places = ("trl/trainer/grpo_trainer.py", "/peft/")
    is_theirs = any(place in Path(frames[-1].filename).as_posix() for place in places)
    return is_theirs and isinstance(error, ValueError | TypeError | ImportError)


def _was_loading(error: Exception) -> bool:
    """Whether transformers raised it while it loaded a model, a configuration or a tokenizer."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.name == "from_pretrained" for frame in frames)


class StatedIntervals(TrainerCallback):
    """Saves and evaluates as often as is said now; transformers would go on as it was said then."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.compute_steps(args, state.max_steps)


def has_evaluation(trainer: MultiTaskGRPOTrainer, log: RunLog | None, step: int) -> bool:
    """Whether an evaluation is in the log, which only the main process reads; all act alike."""
    answer = [log is not None and log.has_evaluation(step)]
    if trainer.accelerator.num_processes > 1:
        broadcast_object_list(answer)
    return answer[0]

"""A resolved run -> TRL's arguments and the trainer."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import AutoConfig, AutoModelForCausalLM, PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl.trainer.grpo_config import GRPOConfig

from mtgrpo.config import ModelShape, ResolvedRun
from mtgrpo.core.report import StepReport
from mtgrpo.errors import ConfigError, MtgrpoError, unknown
from mtgrpo.integrations.trl.adapters import lora_config, with_adapter
from mtgrpo.integrations.trl.own_code import environment_factory, tools
from mtgrpo.integrations.trl.reporting import trackers
from mtgrpo.integrations.trl.trainer import MultiTaskGRPOTrainer
from mtgrpo.plan import Plan
from mtgrpo.runlog import RunLog
from mtgrpo.tasks import TaskSet
from mtgrpo.tasks.prompts import PromptCheck
from mtgrpo.values import check_type

NUMBERS = (int, float, int | None, float | None)
EVALUATION_ROWS = 64
"""Rows of an evaluation's forward pass, where the training batch is not larger anyway."""
SHOWN_OF_AN_ERROR = 200
"""Characters."""


def grpo_arguments(run: ResolvedRun, plan: Plan) -> dict[str, Any]:
    """The arguments of TRL's ``GRPOConfig``.

    Raises:
        ConfigError: A field of the configuration's ``trl`` that is unknown, of the wrong type, or
            derived from other keys.
    """
    derived = _derived(run, plan)
    known = {field.name: field.type for field in fields(GRPOConfig)}

    for key, value in run.trl.items():
        if key in derived:
            raise ConfigError(
                f"trl.{key}: derived from this configuration's own keys; change those instead"
            )

        if key not in known:
            raise ConfigError(unknown("trl", "GRPOConfig field", key, known))

        if known[key] in NUMBERS:  # TRL would only find out in the middle of a step
            check_type(value, known[key], f"trl.{key}")

    return {**_defaults(run, plan), **run.trl, **derived}


def _derived(run: ResolvedRun, plan: Plan) -> dict[str, Any]:
    updates = run.updates_per_step
    return {
        "output_dir": str(Path(run.output) / "checkpoints"),
        "per_device_train_batch_size": plan.micro_batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "steps_per_generation": plan.steps_per_generation,
        "num_generations": run.group_size,
        "num_generations_eval": run.evaluation.samples_per_prompt,
        "max_steps": plan.optimizer_steps,
        "learning_rate": run.learning_rate,
        "max_completion_length": run.max_completion_length,
        "seed": run.seed,
        "report_to": trackers(run.report_to),
        "save_strategy": "steps",
        "save_steps": (run.checkpoint.every or run.steps) * updates,
        "save_total_limit": run.checkpoint.keep,
        "eval_strategy": "steps" if run.evaluation.every else "no",
        "eval_steps": (run.evaluation.every or run.steps) * updates,
        "logging_steps": updates,
    }


def _defaults(run: ResolvedRun, plan: Plan) -> dict[str, Any]:
    on_cpu = not torch.cuda.is_available()

    # Whole groups per process, and about as many rows as a training forward pass takes.
    samples = run.evaluation.samples_per_prompt
    groups = max(1, max(plan.micro_batch_size, EVALUATION_ROWS) // samples)

    return {
        "per_device_eval_batch_size": groups * samples,
        "lr_scheduler_type": "constant",
        "run_name": Path(run.output).name,
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "gradient_checkpointing": not on_cpu,
    }


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
        arguments: From `grpo_arguments`.
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
        args = GRPOConfig(**arguments)
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


def trainer_parts(run: ResolvedRun, tasks: TaskSet) -> dict[str, Any]:
    """The trainer's further arguments: what a configuration has by name and takes from elsewhere.

    Raises:
        ConfigError: One of them cannot be used; names the key.
        MissingExtra: peft is needed and not installed.
    """
    return {
        "peft_config": None if run.peft is None else lora_config(run.peft),
        "environment_factory": environment_factory(run.environment, tasks),
        "tools": tools(run.tools, PromptCheck(tasks).kind) or None,
    }


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


def model_shape(model: str) -> ModelShape | None:
    """The shape of a model whose configuration is on this machine; None when it is not.

    Nothing is downloaded and no weights are loaded: the parameters are counted on the meta device.
    """
    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError):  # not here, or no causal language model
        return None

    text = config.get_text_config()
    num_parameters = float(sum(p.numel() for p in skeleton.parameters()))

    return ModelShape(num_parameters, text.hidden_size, text.num_hidden_layers, text.vocab_size)

"""A resolved run -> the arguments of TRL's ``GRPOConfig``. No torch here: a plan is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.config import ResolvedRun
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.config_fields import NUMBERS, field_type
from mtgrpo.integrations.trl.trackers import trackers
from mtgrpo.plan import Plan
from mtgrpo.values import check_type

EVALUATION_ROWS = 64
"""Rows of an evaluation's forward pass, where the training batch is not larger anyway."""


def grpo_arguments(run: ResolvedRun, plan: Plan) -> dict[str, Any]:
    """All arguments that do not depend on the machine.

    Raises:
        ConfigError: A field of the configuration's ``trl`` that is unknown, of the wrong type, or
            derived from other keys.
        MissingExtra: TRL is not installed.
    """
    derived = _derived(run, plan)

    for key, value in run.trl.items():
        if key in derived:
            raise ConfigError(
                f"trl.{key}: derived from this configuration's own keys; change those instead"
            )

        kind = field_type(key)
        if kind in NUMBERS:  # TRL would only find out in the middle of a step
            check_type(value, NUMBERS[kind], f"trl.{key}")

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
    # Whole groups per process, and about as many rows as a training forward pass takes.
    samples = run.evaluation.samples_per_prompt
    groups = max(1, max(plan.micro_batch_size, EVALUATION_ROWS) // samples)

    return {
        "per_device_eval_batch_size": groups * samples,
        "lr_scheduler_type": "constant",
        "run_name": Path(run.output).name,
        "disable_tqdm": True,
    }

"""The trainer's own arguments, in one value."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig

from mtgrpo.core.method import Method
from mtgrpo.core.report import StepReport
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.task_set import TaskSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The trainer's arguments that parts are made of, as they were given; see the trainer."""

    args: GRPOConfig
    reward_funcs: Any
    train_dataset: Any
    eval_dataset: Any
    tasks: TaskSet | None
    task_column: str
    accuracy: Any
    correct_at: Any
    reward_range: Any
    method: Method | str | None
    environment_factory: Any
    tools: Any
    rollout_func: Any
    share_prompts: bool
    skip_zero_advantages: bool
    eval_seed: int
    run_log: RunLog | None
    on_mixer_step: Callable[[int, StepReport], None] | None

    @property
    def has_environments(self) -> bool:
        """Whether completions play in environments."""
        return self.environment_factory is not None

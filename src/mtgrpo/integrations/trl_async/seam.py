"""What is used of TRL's asynchronous trainer, which is experimental; checked before it is used."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from typing import Any

from mtgrpo.errors import ConfigError

WHERE = "MultiTaskAsyncGRPOTrainer"
WRITTEN_FOR = "1.16"
"""The release of TRL that it was written for, and run with."""

PACKAGE = "trl.experimental.async_grpo"
USED = {
    "async_rollout_worker:_AsyncRolloutLoop._repeat_iterator": ("self",),
    "async_rollout_worker:_AsyncRolloutLoop._generate_one": (
        "self",
        "prompt",
        "tool_dict",
        "tools",
        "group_id",
    ),
    "async_rollout_worker:_AsyncRolloutLoop._generate_one_turn": ("self", "prompt_ids"),
    "async_rollout_worker:_AsyncRolloutLoop._score_group": ("self", "group"),
    "async_rollout_worker:_AsyncRolloutLoop.run": ("self",),
    "async_rollout_worker:_chain_to_sequences": ("turns", "rollout_id", "fork_threshold"),
    "async_grpo_trainer:AsyncGRPOTrainer.log": ("self", "logs", "start_time"),
    "async_grpo_trainer:AsyncGRPOTrainer._save_checkpoint": ("self", "model", "trial"),
}
"""Functions, and their parameters."""
TAKEN = {"rollout_worker", "weight_transfer", "processing_class", "peft_config"}
"""Arguments of TRL's constructor."""


def check_seam() -> None:
    """Compare the installed TRL with what this was written for.

    Raises:
        ConfigError: It has no asynchronous trainer, or another one.
    """
    try:
        trainer = _find("async_grpo_trainer:AsyncGRPOTrainer")
        for name, parameters in USED.items():
            if tuple(inspect.signature(_find(name)).parameters) != parameters:
                raise _refused(f"{name.partition(':')[2]} takes other arguments")
    except (ImportError, AttributeError) as error:
        raise _refused(f"{PACKAGE}: {error}") from error

    if missing := TAKEN - inspect.signature(trainer.__init__).parameters.keys():
        raise _refused(f"AsyncGRPOTrainer has no argument {min(missing)!r}")


def _find(name: str) -> Any:
    module, _, path = name.partition(":")
    member: Any = importlib.import_module(f"{PACKAGE}.{module}")
    for part in path.split("."):
        member = getattr(member, part)
    return member


def _refused(reason: str) -> ConfigError:
    return ConfigError(
        f"{WHERE}: TRL {version('trl')} has another asynchronous trainer than TRL {WRITTEN_FOR}, "
        f"for which this was written ({reason}); install trl=={WRITTEN_FOR}.*"
    )

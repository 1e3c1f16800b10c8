"""What the run directory of a user's own script says of its trainer."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

from mtgrpo.core.method import Method
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.schedule import Schedule

PLAIN = (str, int, float, bool, type(None))


def script_config(
    model: Any, args: Any, max_steps: int, method: Method, schedule: Schedule
) -> dict[str, Any]:
    """The trainer in plain values, under the keys of a configuration where there are such.

    Args:
        model: The policy.
        args: TRL's ``GRPOConfig``.
        max_steps: Policy updates of the run.
        method: The method.
        schedule: TRL's batch arithmetic.
    """
    return {
        "model": str(getattr(getattr(model, "config", None), "_name_or_path", "")) or None,
        "checkpoints": os.path.abspath(args.output_dir),
        "max_steps": max_steps,
        "updates_per_step": max(1, schedule.cycle // schedule.accumulation),
        "batch_size": schedule.batch_size,
        "group_size": schedule.group_size,
        "learning_rate": args.learning_rate,
        "max_completion_length": args.max_completion_length,
        "seed": args.seed,
        "preset": method.name,
        **_described(method),
        "trl": _changed(args),
    }


def _described(method: Method) -> Mapping[str, Any]:
    """The method in plain values; of a rule that cannot be written down, its name."""
    try:
        described = method.as_dict()
        json.dumps(described)
    except (ConfigError, TypeError, ValueError):
        return {"weighting": {"rule": type(method.weighting).__name__}}
    return described


def _changed(args: Any) -> Mapping[str, Any]:
    """The fields of a dataclass that do not have their defaults, secrets left out."""
    changed: dict[str, Any] = {}

    for field in dataclasses.fields(args):
        value = getattr(args, field.name)
        if isinstance(value, Enum):
            value = value.value

        is_secret = field.name.endswith("token")
        if field.init and type(value) in PLAIN and value != field.default and not is_secret:
            changed[field.name] = value

    return changed

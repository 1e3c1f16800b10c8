"""From the trainer's arguments to what its parts are made of."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from datasets import Dataset
from trl import GRPOConfig

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.integrations.trl.surrogate import SurrogateMeter
from mtgrpo.tasks.task_set import TaskSet


def default_args(model: Any) -> GRPOConfig:
    """TRL's own default: a run directory named after the model."""
    name = model if isinstance(model, str) else str(getattr(model.config, "_name_or_path", "model"))
    return GRPOConfig(f"{name.rstrip('/').rpartition('/')[2] or 'model'}-GRPO")


def find_method(method: Method | str | None, *, is_one_task: bool = False) -> Method:
    """The method itself, the preset of that name, or the default.

    Args:
        method: What was asked for.
        is_one_task: Whether there is one task of a dataset, for which nothing is to be balanced.

    Raises:
        ConfigError: Something else, or an unknown name.
    """
    if method is None:
        return replace(presets.get("grpo" if is_one_task else "grpo_fair"), clip=None)
    if isinstance(method, str):
        return presets.get(method)
    if isinstance(method, Method):
        return method

    raise ConfigError(
        f"{WHERE}: method is {method!r}; a Method is needed, or the name of a preset; "
        "write method=Method(weighting, sampler)"
    )


def with_clip(args: Any, method: Method) -> Any:
    """`args`, with the method's clip where they leave it at TRL's defaults."""
    is_default = args.epsilon == GRPOConfig.epsilon and args.epsilon_high is None
    if method.clip is None or not is_default:
        return args

    args = copy.copy(args)
    args.epsilon, args.epsilon_high = method.clip
    return args


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

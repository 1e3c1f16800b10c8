"""The section ``data.mtgrpo`` of a verl configuration."""

from __future__ import annotations

import dataclasses
import logging
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtgrpo.config import RunConfig
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import check_type

WHERE = "data.mtgrpo"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VerlSettings:
    """Every key of ``data.mtgrpo``.

    Attributes:
        preset: Method, a name in `mtgrpo.presets.NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting the preset's hyper-parameters come from.
        weighting: Changes to the preset's weighting.
        sampler: Changes to the preset's sampler.
        task_reward: What J_k is, ``accuracy`` or ``reward``; null takes the preset's.
        observe: J_k is observed once a ``step`` or once a ``round``; null takes the preset's.
        task_key: Column with the task's name; null takes verl's ``data.reward_fn_key``.
        accuracy_key: Key under which the reward function returns the accuracy, in [0, 1]; null counts a
            completion as correct from a reward of `correct_at` on.
        correct_at: See `accuracy_key`.
        poll_interval: Seconds between looks at the queue of finished groups.
    """

    preset: str = "mt_grpo"
    variant: str = "default"
    setting: str = "three_tasks"
    weighting: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sampler: Mapping[str, Any] = field(default_factory=dict[str, Any])
    task_reward: str | None = None
    observe: str | None = None
    task_key: str | None = None
    accuracy_key: str | None = None
    correct_at: float = 1.0
    poll_interval: float = 0.5


def read_settings(values: Any) -> VerlSettings:
    """Settings from plain values, checked.

    Raises:
        ConfigError: No mapping, an unknown key, or a value of the wrong type; names the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{WHERE}: {values!r}; a mapping is needed, such as {{preset: mt_grpo}}")
    hints = typing.get_type_hints(VerlSettings)
    for key in values:
        if key not in hints:
            raise ConfigError(unknown(WHERE, "key", key, hints))
    settings = VerlSettings(
        **{k: check_type(v, hints[k], f"{WHERE}.{k}") for k, v in values.items()}
    )
    if not (0 < settings.poll_interval < math.inf and math.isfinite(settings.correct_at)):
        raise ConfigError(
            f"{WHERE}: poll_interval={settings.poll_interval}, correct_at={settings.correct_at}; both must be finite "
            "and poll_interval above 0"
        )
    return settings


def make_mixer(
    settings: VerlSettings, tasks: Sequence[str], *, batch_size: int, seed: int
) -> TaskMixer:
    """The mixer these settings describe.

    Args:
        settings: From `read_settings`.
        tasks: Task names, in the order of the data.
        batch_size: Groups per step, verl's ``data.train_batch_size``.
        seed: Of all the mixer's randomness.

    Raises:
        ConfigError: A value that cannot work, or a weighting that verl cannot feed.
    """
    shared = {f.name for f in dataclasses.fields(RunConfig)} & {
        f.name for f in dataclasses.fields(VerlSettings)
    }
    try:
        run = RunConfig(
            tasks=(), batch_size=batch_size, **{k: getattr(settings, k) for k in shared}
        ).resolved()
    except ConfigError as error:
        raise ConfigError(f"{WHERE}: {error}") from None
    method = run.method
    if method.weighting.uses_improvements:
        raise ConfigError(
            f"{WHERE}: the weighting wants improvements measured by one more forward pass per policy update, for which "
            "verl has no place; set weighting: {improvement: rewards}"
        )
    if staleness := method.sampler.max_staleness:
        raise ConfigError(
            f"{WHERE}: the sampler's max_staleness={staleness} keeps surplus groups for later steps, for whose "
            "log-probabilities verl has no place; set sampler: {max_staleness: 0}"
        )
    missing = [key for key in ("loss_shares", "prompt_memory") if getattr(method, key)]
    if missing:
        logger.warning(
            "%s: preset %r without %s, for which verl has no place",
            WHERE,
            run.preset,
            " and ".join(missing),
        )
    return method.make_mixer(tasks, batch_size=batch_size, seed=seed)

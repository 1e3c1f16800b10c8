"""The section ``data.mtgrpo`` of a verl configuration."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler, refuse_probes
from mtgrpo.errors import ConfigError
from mtgrpo.values import parse_dataclass

WHERE = "data.mtgrpo"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VerlSettings:
    """Every key of ``data.mtgrpo``.

    Attributes:
        preset: Method, a name in `mtgrpo.presets.NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting that the preset's hyper-parameters come from.
        weighting: Changes to the preset's weighting.
        sampler: Changes to the preset's sampler.
        task_reward: What J_k is, ``accuracy`` or ``reward``; null takes the preset's.
        observe: Over which groups J_k is observed, the ``first_round`` of a step, the whole
            ``step`` or each ``round``; null takes the preset's.
        loss_shares: Whether each task's share of the loss is made its share of the quotas, by
            ``algorithm.adv_estimator=mtgrpo``; null takes the preset's.
        prompt_memory: Whether prompts whose last groups were all right or all wrong are asked
            again rarely; null takes the preset's.
        task_key: Column with the task's name; null takes verl's ``data.reward_fn_key``.
        accuracy_key: Key under which the reward function returns the accuracy, in [0, 1]; null
            counts a completion as correct from a reward of `correct_at` on.
        correct_at: See `accuracy_key`.
        poll_interval: Seconds between looks at the queue of finished groups.
    """

    preset: str = "grpo_fair"
    variant: str = "default"
    setting: str = "three_tasks"
    weighting: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sampler: Mapping[str, Any] = field(default_factory=dict[str, Any])
    task_reward: str | None = None
    observe: str | None = None
    loss_shares: bool | None = None
    prompt_memory: bool | None = None
    task_key: str | None = None
    accuracy_key: str | None = None
    correct_at: float = 1.0
    poll_interval: float = 0.5


def read_settings(values: Any) -> VerlSettings:
    """Settings from plain values, checked.

    Raises:
        ConfigError: No mapping, an unknown key, or a value that cannot be; names the key.
    """
    settings = parse_dataclass(VerlSettings, values, WHERE)
    if not 0 < settings.poll_interval < math.inf:
        raise ConfigError(
            f"{WHERE}: poll_interval={settings.poll_interval}; a finite time above 0 s is needed"
        )
    if not math.isfinite(settings.correct_at):
        raise ConfigError(f"{WHERE}: correct_at={settings.correct_at}; it must be finite")
    return settings


def resolve_method(settings: VerlSettings) -> Method:
    """The method these settings name, as a configuration of ``mtgrpo train`` would give it.

    Raises:
        ConfigError: An unknown name, or a value that cannot work.
    """
    stated = {
        key: getattr(settings, key)
        for key in ("task_reward", "observe", "loss_shares", "prompt_memory")
        if getattr(settings, key) is not None
    }
    try:
        method = presets.get(
            settings.preset,
            variant=settings.variant,
            setting=settings.setting,
            weighting=settings.weighting,
            sampler=settings.sampler,
        )
        return dataclasses.replace(method, **stated)
    except ConfigError as error:
        raise ConfigError(f"{WHERE}: {error}") from None


def make_mixer(
    settings: VerlSettings,
    tasks: Sequence[str],
    *,
    batch_size: int,
    families: Mapping[str, str] | None = None,
    seed: int,
) -> TaskMixer:
    """The mixer these settings describe.

    Args:
        settings: From `read_settings`.
        tasks: Task names, in the order of the data.
        batch_size: Groups per step, verl's ``data.train_batch_size``.
        families: Family of each task that has one.
        seed: Seed of all the mixer's randomness.

    Raises:
        ConfigError: A value that cannot work, or a weighting that verl cannot feed.
    """
    method = resolve_method(settings)
    if method.weighting.uses_improvements:
        raise ConfigError(
            f"{WHERE}: the weighting wants improvements measured by one more forward pass per "
            "policy update, for which verl has no place; set weighting: {improvement: rewards}"
        )

    sampler = method.sampler
    refuse_probes(sampler, WHERE)
    if isinstance(sampler, OneRoundSampler) and sampler.budget is not None:
        raise ConfigError(
            f"{WHERE}: the sampler's budget={dict(sampler.budget)} asks for fewer groups than "
            "data.train_batch_size, for which verl has no place; leave budget out, and set that"
        )

    mixer = method.make_mixer(tasks, batch_size=batch_size, families=families, seed=seed)
    _stop_banking(mixer, method.name, is_stated="max_staleness" in settings.sampler)
    return mixer


def _stop_banking(mixer: TaskMixer, name: str, *, is_stated: bool) -> None:
    staleness = mixer.sampler.bank.max_staleness
    if not staleness:
        return
    if is_stated:
        raise ConfigError(
            f"{WHERE}: the sampler's max_staleness={staleness} keeps surplus groups for later "
            "steps, for whose log-probabilities verl has no place; set sampler: {max_staleness: 0}"
        )

    logger.warning(
        "%s: preset %r without its bank of surplus groups, for whose log-probabilities verl has no "
        "place (max_staleness=0)",
        WHERE,
        name,
    )
    mixer.sampler.stop_banking()

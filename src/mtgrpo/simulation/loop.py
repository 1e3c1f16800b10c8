"""The loop: a toy policy in the place of an engine, everything else as in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtgrpo.config import RunConfig
from mtgrpo.core.filters import informative_filter
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.presets import nearest_setting
from mtgrpo.simulation.policy import ToyPolicy
from mtgrpo.simulation.prompt_sets import PromptSets
from mtgrpo.simulation.record import Record
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.world import World


def simulate(
    world: World,
    preset: str = "mt_grpo",
    *,
    steps: int = 720,
    batch_size: int = 32,
    group_size: int = 8,
    seed: int = 0,
    variant: str = "default",
    setting: str | None = None,
    weighting: TaskWeighting | Mapping[str, Any] | None = None,
    sampler: RatioPreservingSampler | Mapping[str, Any] | None = None,
    updates_per_step: int = 4,
    prompt_memory: bool | None = None,
) -> SimulationResult:
    """Train the toy policy on a world with the library's own mixer.

    Args:
        world: What there is to learn.
        preset: Name of the method, one of `mtgrpo.presets.NAMES`.
        steps: Training steps.
        batch_size: Groups per step.
        group_size: Completions per group.
        seed: Seed of the mixer and of the policy; the same seed gives the same result.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting whose hyper-parameters are taken; None takes the one nearer in
            number of tasks.
        weighting: Changes to the preset's weighting, or an unbound weighting in its place.
        sampler: Changes to the preset's sampler, or an unbound sampler in its place.
        updates_per_step: Minibatches per step; each gives one measured improvement.
        prompt_memory: Pass over prompts that were all right or all wrong; None takes the preset's,
            where the world has finite sets of prompts.

    Raises:
        ConfigError: A value that cannot work.
    """
    setting = setting or nearest_setting(len(world.tasks))

    method = (
        RunConfig(
            tasks=[{"name": name} for name in world.names],
            preset=preset,
            variant=variant,
            setting=setting,
            weighting=weighting if isinstance(weighting, Mapping) else {},
            sampler=sampler if isinstance(sampler, Mapping) else {},
            steps=steps,
            batch_size=batch_size,
            group_size=group_size,
            updates_per_step=updates_per_step,
            prompt_memory=prompt_memory,
        )
        .resolved()
        .method
    )

    if isinstance(weighting, TaskWeighting):
        method = replace(method, weighting=weighting)
    if isinstance(sampler, RatioPreservingSampler):
        method = replace(method, sampler=sampler)

    mixer = method.make_mixer(world.names, batch_size=batch_size, seed=seed)

    has_finite_sets = any(task.num_prompts for task in world.tasks)
    remember = bool(prompt_memory or (method.prompt_memory and has_finite_sets))
    sets = PromptSets(world, seed, remember)
    policy = ToyPolicy(world, group_size, np.random.default_rng([seed, 1]), sets)
    record = Record(mixer, policy, steps)

    informs = informative_filter(mixer.sampler.group_filter)
    for t in range(steps):
        batch = mixer.new_batch()
        while request := batch.ask():
            groups, copies = policy.draw(request)
            sets.note((groups[i] for i in copies), informs)
            batch.tell(groups, copies)

        mixer.update(policy.learn(batch.groups, updates_per_step, method.surrogate))
        record.write_step(t, sets.end_step())

    return record.result(preset, seed)

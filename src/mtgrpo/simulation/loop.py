"""The loop: a toy policy in the place of an engine, everything else as in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtgrpo.config import RunConfig
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.batch import Batch
from mtgrpo.core.filters import informative_filter
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.presets import nearest_setting
from mtgrpo.simulation.groups_in_parts import draw_in_parts
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
    sampler: Sampler | Mapping[str, Any] | None = None,
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
    if isinstance(sampler, Sampler):
        shares = method.loss_shares or sampler.needs_loss_shares
        method = replace(method, sampler=sampler, loss_shares=shares)

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
            if batch.probes is None:
                groups, copies = policy.draw(request)
            else:
                groups = draw_in_parts(policy, request, batch.probes)
                copies = list(range(len(groups)))
            sets.note((groups[i] for i in copies), informs)
            batch.tell(groups, copies)

        mixer.update(_learn(policy, batch, updates_per_step, method.surrogate))
        record.write_step(t, sets.end_step())

    return record.result(preset, seed)


def _learn(
    policy: ToyPolicy, batch: Batch, updates_per_step: int, surrogate: str
) -> list[dict[str, float]]:
    """Train on a batch; where shares are made in the loss, as the TRL trainer does.

    There, groups without a gradient fill the batch up, and the loss is averaged over them too.
    """
    if batch.loss_shares is None:
        return policy.learn(batch.groups, updates_per_step, surrogate)

    counts: dict[str, float] = {}
    for group in batch.groups:
        counts[group.task] = counts.get(group.task, 0) + group.weight
    factors = balance_loss(batch.loss_targets, counts, counts).factors
    num_padded = batch.counts.num_generated - len(batch.groups)
    return policy.learn(batch.groups, updates_per_step, surrogate, factors, num_padded)

"""The loop: a toy policy in the place of an engine, everything else as in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mtgrpo.config import RunConfig
from mtgrpo.core.filters import FILTERS, informative_filter
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.simulation.policy import ToyPolicy
from mtgrpo.simulation.prompt_sets import PromptSets
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
        preset: Method, a name in `mtgrpo.presets.NAMES`.
        steps: Training steps.
        batch_size: Groups per step.
        group_size: Completions per group.
        seed: Of the mixer and of the policy; the same seed gives the same result.
        variant: ``default``, ``paper`` or ``released``.
        setting: Whose hyper-parameters; None takes the published setting nearer in number of tasks.
        weighting: Changes to the preset's weighting, or an unbound weighting in its place.
        sampler: Changes to the preset's sampler, or an unbound sampler in its place.
        updates_per_step: Minibatches per step; each gives one measured improvement.
        prompt_memory: Pass over prompts that were all right or all wrong; None takes the preset's, where the world has
            finite sets of prompts.

    Raises:
        ConfigError: Any value that cannot work.
    """
    setting = setting or ("three_tasks" if len(world.tasks) <= 6 else "nine_tasks")
    run = RunConfig(
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
    ).resolved()
    method = run.method
    if isinstance(weighting, TaskWeighting):
        method = replace(method, weighting=weighting)
    if isinstance(sampler, RatioPreservingSampler):
        method = replace(method, sampler=sampler)
    mixer = method.make_mixer(world.names, batch_size=batch_size, seed=seed)

    remember = prompt_memory or (
        method.prompt_memory and any(task.num_prompts for task in world.tasks)
    )
    sets = PromptSets(world, seed, remember)
    policy = ToyPolicy(world, group_size, np.random.default_rng([seed, 1]), sets)
    return _run(mixer, policy, sets, preset, steps, seed, updates_per_step, method.surrogate)


def _run(
    mixer: TaskMixer,
    policy: ToyPolicy,
    sets: PromptSets,
    name: str,
    steps: int,
    seed: int,
    updates_per_step: int,
    surrogate: str,
) -> SimulationResult:
    tasks = mixer.tasks
    accuracy, weights, realized = (np.zeros((steps + extra, len(tasks))) for extra in (1, 0, 0))
    generated, informative, skipped = (
        np.zeros((steps, len(tasks)), dtype=np.int64) for _ in range(3)
    )
    rounds, shortfall, rollouts = (np.zeros(steps + extra, dtype=np.int64) for extra in (0, 0, 1))
    observed = np.full((steps, len(tasks)), np.nan)
    accuracy[0] = policy.accuracy()
    for t in range(steps):
        batch = mixer.new_batch()
        while request := batch.ask():
            groups = policy.draw(request)
            sets.note(groups, informative_filter(mixer.sampler.group_filter))
            batch.tell(groups)
        mixer.update(policy.learn(batch.groups, updates_per_step, surrogate))
        report = mixer.report
        assert report is not None  # update() has just made it
        means = report.totals.mean_accuracies()
        num_trained = max(1, sum(report.realized.values()))
        passed_over = sets.end_step()
        for k, task in enumerate(tasks):
            weights[t, k] = report.weights[task]
            realized[t, k] = report.realized.get(task, 0) / num_trained
            generated[t, k] = report.totals.num_groups.get(task, 0)
            informative[t, k] = report.num_informative.get(task, 0)
            skipped[t, k] = passed_over.get(task, 0)
            observed[t, k] = means.get(task, np.nan)
        accuracy[t + 1] = policy.accuracy()
        rounds[t], shortfall[t], rollouts[t + 1] = (
            report.num_rounds,
            report.shortfall,
            mixer.num_rollouts,
        )
    return SimulationResult(
        tasks=tasks,
        method=name,
        batch_size=mixer.batch_size,
        group_size=policy.group_size,
        seed=seed,
        accuracy=accuracy,
        observed=observed,
        weights=weights,
        realized=realized,
        generated=generated,
        informative=informative,
        skipped=skipped,
        rounds=rounds,
        rollouts=rollouts,
        shortfall=shortfall,
        group_filter=next(
            (name for name, f in FILTERS.items() if f is mixer.sampler.group_filter), "custom"
        ),
    )

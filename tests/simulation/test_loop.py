"""The loop: its statistics are exact, and the mixer in it is the real one."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from mtgrpo import presets
from mtgrpo.core.metrics import filtered_shares
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import Fixed
from mtgrpo.simulation import SimulationResult, World, simulate

from .worlds import STILL, acceptance


def test_same_seed_same_run() -> None:
    world = World.random(seed=3, num_tasks=4)
    one, same, other = (simulate(world, steps=15, batch_size=16, seed=seed) for seed in (5, 5, 6))
    for field in dataclasses.fields(SimulationResult):
        assert (
            np.array_equal(getattr(one, field.name), getattr(same, field.name))
            or field.name == "observed"
        )
    np.testing.assert_array_equal(one.observed, same.observed)
    assert not np.array_equal(one.accuracy, other.accuracy)


@pytest.mark.parametrize("name", presets.NAMES)
@pytest.mark.parametrize("variant", presets.VARIANTS)
def test_every_method_runs_and_counts_add_up(name: str, variant: str) -> None:
    for world in (World.three_tasks(), World.nine_tasks()):
        run = simulate(world, name, variant=variant, steps=12, batch_size=16, group_size=4)
        assert run.rollouts[-1] == run.generated.sum() * 4
        np.testing.assert_array_equal(np.diff(run.rollouts), run.groups_generated * 4)
        np.testing.assert_allclose(run.weights.sum(axis=1), 1)
        np.testing.assert_allclose(run.realized.sum(axis=1), 1)
        assert (run.informative <= run.generated).all()
        assert (run.rounds >= 1).all()
        assert run.accuracy.shape == (13, len(world.tasks))
        assert ((run.accuracy > 0) & (run.accuracy < 1)).all()
        assert np.isnan(run.observed[run.generated == 0]).all()
        json.dumps(run.summary(), allow_nan=False)


def test_zero_gradient_rates_are_the_analytic_ones() -> None:
    run = simulate(STILL, "grpo", steps=100, batch_size=300, seed=1)
    expected = acceptance(STILL, 8)
    got = run.informative.sum(axis=0) / run.generated.sum(axis=0)
    error = np.sqrt(expected * (1 - expected) / run.generated.sum(axis=0))
    np.testing.assert_array_less(np.abs(got - expected), 4 * error)
    np.testing.assert_allclose(run.zero_gradient_rate, 1 - got)


def test_observed_accuracy_is_unbiased_whatever_is_filtered() -> None:
    run = simulate(STILL, "mt_grpo", steps=60, batch_size=64, seed=2)
    mean = np.nansum(run.observed * run.generated, axis=0) / run.generated.sum(axis=0)
    np.testing.assert_array_less(
        np.abs(mean - run.accuracy[0]), 4 * 0.5 / np.sqrt(run.generated.sum(axis=0))
    )
    np.testing.assert_array_equal(run.accuracy[0], run.accuracy[-1])


def test_task_blind_filtering_distorts_the_shares_as_the_formula_says() -> None:
    run = simulate(STILL, "dapo", steps=300, batch_size=64)
    rates = dict(zip(STILL.names, acceptance(STILL, 8).tolist(), strict=True))
    expected = list(filtered_shares(dict.fromkeys(STILL.names, 1 / 3), rates).values())
    np.testing.assert_allclose(run.realized.mean(axis=0), expected, atol=0.01)
    assert max(expected) - min(expected) > 0.15  # the worlds' rates do differ


def test_ratio_preserving_sampler_keeps_the_shares() -> None:
    run = simulate(STILL, "grpo_rps", steps=60, batch_size=32)
    np.testing.assert_allclose(run.realized.mean(axis=0), 1 / 3, atol=0.005)
    assert run.shortfall.mean() < 0.2


def test_grpo_lets_the_hard_task_stagnate_and_mt_grpo_does_not() -> None:
    world = World.three_tasks()
    gains = []
    for seed in range(3):
        plain, ours = (
            simulate(world, name, steps=250, batch_size=32, group_size=16, seed=seed)
            for name in ("grpo", "mt_grpo")
        )
        gains.append(ours.worst_accuracy[-1] - plain.worst_accuracy[-1])
    assert min(gains) > 0.03


def test_strict_worst_task_weights_collapse() -> None:
    world = World.three_tasks()
    strict = simulate(world, "worst_task", steps=250, seed=0)
    soft = simulate(
        world, "mt_grpo_reg", steps=250, seed=0, weighting={"eta": 1e-2, "reward_scale": 0.2}
    )
    assert strict.weights.max() > 0.9
    assert soft.weights.max() < strict.weights.max()


def test_objects_in_place_of_a_preset() -> None:
    shares = {"easy": 0.5, "middle": 0.5, "hard": 0.0}
    sampler = RatioPreservingSampler(group_filter="strict", max_resamples=3)
    run = simulate(STILL, steps=5, weighting=Fixed(shares), sampler=sampler)
    np.testing.assert_allclose(run.weights, [[0.5, 0.5, 0.0]] * 5)
    assert run.generated[:, 2].sum() == 0
    assert math.isnan(run.zero_gradient_rate[2])
    assert run.group_filter == "strict"


def test_steps_of_one_round_have_a_fixed_cost_and_the_weights_shares() -> None:
    shares = {"easy": 0.3, "middle": 0.3, "hard": 0.4}
    run = simulate(
        STILL, steps=200, batch_size=32, weighting=Fixed(shares), sampler=OneRoundSampler()
    )
    assert set(run.rounds) == {1}
    assert (run.generated.sum(axis=1) == 32).all()
    assert not run.shortfall.any()
    np.testing.assert_allclose(run.realized.mean(axis=0), list(shares.values()), atol=0.02)


def test_one_round_by_a_word_lifts_the_worst_task() -> None:
    run = simulate(World.three_tasks(), "balanced", steps=150, sampler={"rounds": "one"})
    assert run.accuracy[-1].min() > run.accuracy[0].min() + 0.02


STAGES = {"size": [4, 12], "chance": [0.5, 0.5]}


def test_probes_take_fewer_completions_to_the_same_accuracy() -> None:
    world = World.three_tasks()
    runs = {
        str(probes): simulate(
            world,
            "grpo_fair",
            steps=40,
            batch_size=24,
            group_size=32,
            seed=1,
            sampler={"probes": probes},
        )
        for probes in (None, "auto", {"size": 8, "chance": 0.25}, STAGES)
    }
    whole = runs.pop("None")
    for run in runs.values():
        assert run.rollouts[1] <= 24 * 32  # the first step may have whole groups
        assert run.rollouts[-1] < 0.75 * whole.rollouts[-1]
        assert run.mean_accuracy[-1] == pytest.approx(whole.mean_accuracy[-1], abs=0.02)
        assert run.groups_generated.tolist() == whole.groups_generated.tolist()


def test_probes_of_a_finite_set_of_prompts() -> None:
    tasks = tuple(dataclasses.replace(task, num_prompts=50) for task in World.three_tasks().tasks)
    world = World(tasks)
    sampler = {"probes": {"size": 4, "chance": 0.5}}
    run = simulate(world, "grpo_fair", steps=5, batch_size=12, group_size=16, sampler=sampler)
    assert (np.diff(run.rollouts) < 12 * 16).all()

"""The toy policy: its learning is the policy gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mtgrpo.core.advantages import group_advantages
from mtgrpo.core.types import Probed
from mtgrpo.simulation import SimulatedTask, World
from mtgrpo.simulation.policy import group_signals, log_choose

from .worlds import STILL, groups, policy, roll_out


def test_signals_are_the_advantages_of_the_core() -> None:
    right, own, wrong = group_signals(6)
    for c, w in [(1, 0), (3, 2), (5, 1), (0, 3), (6, 0), (0, 0), (0, 6), (2, 4)]:
        group = groups("t", (c, w), size=6)[0]
        advantages = group_advantages(group.rewards)
        code = group.payload
        assert right[code] == pytest.approx(sum(advantages[:c]) / 6, abs=1e-9)
        assert own[code] == pytest.approx(sum(advantages[c : c + w]) / 6, abs=1e-9)
        assert wrong[code] == pytest.approx(sum(advantages[c:]) / 6, abs=1e-9)


def test_learning_is_the_policy_gradient() -> None:
    """Against sampled prompts and completions, with the score function differentiated by hand."""
    task = SimulatedTask(
        "t", skill=-0.5, spread=1.5, learning_rate=1.0, floor=0.2, ceiling=0.9, format_skill=0.4
    )
    world, size, rng = World((task,)), 6, np.random.default_rng(0)
    rates, slopes = world.pass_rates(np.array([task.skill]))
    drawn = rng.integers(rates.shape[1], size=4000)
    total = 0.0
    for p, slope in zip(rates[0, drawn], slopes[0, drawn], strict=True):
        correct = rng.random(size) < p
        rewards = np.where(correct, 1.0, np.where(rng.random(size) < 0.4, 0.1, 0.0))
        score = np.where(correct, slope / p, -slope / (1 - p))
        total += float(np.mean(np.array(group_advantages(rewards.tolist())) * score))
    toy = policy(world, size)
    toy.learn(roll_out(toy, {"t": 20_000}), 1, "mean")
    assert toy.skill[0] - task.skill == pytest.approx(total / 4000, rel=0.05)


def test_outcomes_are_a_distribution_with_the_right_mean() -> None:
    toy = policy(World.nine_tasks(), 5)
    np.testing.assert_allclose(toy.outcomes.sum(axis=1), 1)
    np.testing.assert_allclose(toy.outcomes @ np.arange(6) / 5, toy.accuracy())
    np.testing.assert_allclose(np.exp(log_choose(5)), [1, 5, 10, 10, 5, 1])


def test_zero_gradient_groups_dilute() -> None:
    world = World((SimulatedTask("t"),))
    alone, diluted = policy(world), policy(world)
    before = alone.skill.copy()
    alone.learn(groups("t", (4, 0)), 1, "mean")
    diluted.learn(groups("t", (4, 0), (0, 0), (8, 0), (0, 8)), 1, "mean")
    assert diluted.skill[0] - before[0] == pytest.approx((alone.skill[0] - before[0]) / 4)


def test_factors_scale_moves_and_not_what_is_measured() -> None:
    world = World((SimulatedTask("a"), SimulatedTask("b")))
    plain, scaled = policy(world), policy(world)
    before, batch = plain.skill.copy(), groups("a", (4, 0)) + groups("b", (4, 0))
    measured = plain.learn(batch, 1, "mean")
    same = scaled.learn(batch, 1, "mean", {"a": 1.5, "b": 0.5}, num_padded=2)

    ratio = (scaled.skill - before) / (plain.skill - before)
    assert ratio == pytest.approx([1.5 / 2, 0.5 / 2])  # four groups in place of two
    assert same[0].keys() == measured[0].keys()


def test_all_wrong_groups_teach_format_alone() -> None:
    toy = policy(World((SimulatedTask("t"),)))
    skill, form = toy.skill.copy(), toy.format_logit.copy()
    toy.learn(groups("t", (0, 4)), 1, "mean")
    assert toy.skill == skill
    assert toy.format_logit > form


def test_transfer_and_forgetting() -> None:
    tasks = (SimulatedTask("a"), SimulatedTask("b"), SimulatedTask("c", forgetting=0.5))
    toy = policy(World(tasks, transfer=((1, 0.5, -0.25), (0, 1, 0), (0, 0, 1))))
    toy.skill = toy.skill + np.array([0, 0, 2.0])
    before = toy.skill.copy()
    toy.learn(groups("a", (4, 0)), 1, "mean")
    moved = toy.skill - before
    assert moved[0] > 0
    assert moved[1] == pytest.approx(moved[0] / 2)
    assert moved[2] == pytest.approx(-moved[0] / 4 - 0.5 * (2.0 - moved[0] / 4))


def test_a_group_that_stands_for_four_is_not_forgotten_like_one() -> None:
    """Two groups of weight 4 beside eight of weight 1 are half of what is trained on."""
    world = World((SimulatedTask("a", forgetting=0.5), SimulatedTask("b", learning_rate=0.0)))
    toy = policy(world)
    toy.skill = toy.skill + np.array([1.0, 0.0])
    probed = [replace(group, probe=Probed(4, 4.0)) for group in groups("a", (8, 0), (8, 0))]
    toy.learn(probed + groups("b", *[(8, 0)] * 8), 1, "mean")
    assert toy.skill[0] - world.tasks[0].skill == pytest.approx(1 - 0.5 * (1 - 0.5))


def test_improvements_by_mean_and_by_sum() -> None:
    world = World((SimulatedTask("a"), SimulatedTask("b")), improvement_noise=0.0)
    batch = groups("a", (4, 0), (4, 0), (4, 0)) + groups("b", (2, 0))
    (mean,), (total,) = policy(world).learn(batch, 1, "mean"), policy(world).learn(batch, 1, "sum")
    assert total["a"] == pytest.approx(mean["a"] * 3 * 8)
    assert total["b"] == pytest.approx(mean["b"] * 8)
    toy = policy(world)
    before = toy.skill.copy()
    toy.learn(batch, 1, "mean")
    signal = group_signals(8)[0][4 * 9]
    assert (
        mean["a"] >= signal * (toy.skill - before)[0] * 0.9
    )  # first order; the rest is the format's share
    improvements = toy.learn(batch, 4, "mean")
    assert sorted(task for part in improvements for task in part) == ["a", "a", "a", "b"]


def test_an_empty_batch_teaches_nothing() -> None:
    toy = policy(STILL)
    before = toy.skill.copy()
    assert toy.learn([], 2, "mean") == [{}, {}]
    np.testing.assert_array_equal(toy.skill, before)
    assert toy.draw({}) == ([], [])

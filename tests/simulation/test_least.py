"""The fewest rollouts: against integrals by hand, and against runs."""

import math

import numpy as np
import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.simulation import SimulatedTask, World, efficiency, least_rollouts, simulate

RATE, BATCH = 0.1, 16


def pair(start: float, name: str = "a", rate: float = RATE) -> SimulatedTask:
    """A task of prompts that are all alike, and no wrong answer of which is well-formed."""
    return SimulatedTask(name, start, spread=0.0, learning_rate=rate, format_skill=1e-9)


def world(*tasks: SimulatedTask, transfer=()) -> World:
    return World(tasks, transfer=transfer, format_learning_rate=0.0)


def least(of: World, skill: float) -> float:
    """To the accuracy of a skill, with groups of two."""
    accuracy = 1 / (1 + math.exp(-skill))
    return least_rollouts(of, accuracy, batch_size=BATCH, group_size=2)


def by_hand(start: float, end: float, rate: float = RATE) -> float:
    """With two completions only a mixed group, of chance 2 p (1 - p), teaches: its advantages are
    +- sqrt(1/2), the mean of A * correct is sqrt(1/2) / 2. So a rollout gains rate p (1 - p)
    sqrt(1/2) / (B G) of skill, and 1 / (p (1 - p)) = 2 + e^s + e^-s."""

    def primitive(skill):
        return 2 * skill + 2 * math.sinh(skill)

    return BATCH * 2 * math.sqrt(2) / rate * (primitive(end) - primitive(start))


def test_one_task_is_the_integral():
    assert least(world(pair(-2.0)), 1.0) == pytest.approx(by_hand(-2, 1), rel=1e-3)


def test_without_transfer_it_is_the_sum_over_tasks():
    tasks = pair(-2.0, "a"), pair(-1.0, "b", rate=0.3), pair(3.0, "solved")
    expected = by_hand(-2, 1) + by_hand(-1, 1, rate=0.3)
    assert least(world(*tasks), 1.0) == pytest.approx(expected, rel=1e-3)


def test_with_transfer_it_is_the_linear_program():
    """Two equal tasks that help each other by half need two thirds each."""
    tasks = pair(-2.0, "a"), pair(-2.0, "b")
    helping = world(*tasks, transfer=((1.0, 0.5), (0.5, 1.0)))
    assert least(helping, 1.0) == pytest.approx(2 * by_hand(-2, 1) / 1.5, rel=1e-3)

    # One that helps the other fully, and is not helped: only the first is trained on.
    taught = world(*tasks, transfer=((1.0, 1.0), (0.0, 1.0)))
    assert least(taught, 1.0) == pytest.approx(by_hand(-2, 1), rel=1e-3)


def test_what_cannot_be_reached():
    capped = World((SimulatedTask("a", ceiling=0.6),))
    assert least_rollouts(capped, 0.7, batch_size=8, group_size=8) == math.inf
    assert least(world(pair(-2.0, rate=0.0)), 1.0) == math.inf
    fighting = world(pair(-2.0, "a"), pair(-2.0, "b"), transfer=((1.0, -1.0), (-1.0, 1.0)))
    assert least(fighting, 1.0) == math.inf
    with pytest.raises(ConfigError, match=r"accuracy=1.5; it must be in \[0, 1\]"):
        least_rollouts(capped, 1.5, batch_size=8, group_size=8)


def test_plain_training_on_one_task_takes_the_least():
    """Nothing is wasted there: with prompts that differ and a format that is learned, too."""
    only = World((SimulatedTask("a", skill=-3.0, spread=2.0, learning_rate=0.2),))
    runs = [simulate(only, "grpo", steps=120, seed=seed) for seed in range(3)]
    assert efficiency(only, runs, 0.5) == pytest.approx(1.0, abs=0.03)


def test_what_is_trained_above_the_aim_is_waste():
    """Two tasks of one difficulty, one of which learns three times as fast: GRPO gives it as much."""
    two = world(pair(-2.0, "slow", rate=0.3), pair(-2.0, "fast", rate=0.9))
    run = simulate(two, "grpo", steps=280, batch_size=BATCH, group_size=2, seed=0)
    accuracy = 1 / (1 + math.exp(1.0))
    eta = efficiency(two, [run], accuracy)
    # It needs twice what the slow one does, in place of 4/3 of it.
    assert eta == pytest.approx(2 / 3, abs=0.04)


def test_without_need_or_success():
    one = world(pair(-2.0))
    run = simulate(one, "grpo", steps=3, batch_size=4, group_size=2, seed=0)
    assert math.isnan(efficiency(one, [run], 0.05))
    assert efficiency(one, [run], 0.9) == 0
    assert np.isfinite(least(one, 2.0))

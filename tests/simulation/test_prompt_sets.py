"""Finite sets of prompts in the simulator, with and without a memory of what came of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mtgrpo.core.filters import informative
from mtgrpo.errors import ConfigError
from mtgrpo.simulation import SimulatedTask, World, simulate
from mtgrpo.simulation.policy import ToyPolicy
from mtgrpo.simulation.prompt_sets import PromptSets, difficulties

STILL = World(
    (
        SimulatedTask(
            "set",
            skill=-1.0,
            spread=6.0,
            learning_rate=0.0,
            floor=0.05,
            ceiling=0.9,
            num_prompts=200,
        ),
        SimulatedTask("endless", learning_rate=0.0),
    )
)


def policy(remember: bool, seed: int = 0) -> tuple[ToyPolicy, PromptSets]:
    sets = PromptSets(STILL, seed, remember)
    return ToyPolicy(STILL, 8, np.random.default_rng(seed), sets), sets


def test_each_prompt_once_an_epoch_with_its_own_pass_rate() -> None:
    toy, _ = policy(remember=False)
    correct, asked = Counter[int](), Counter[int]()
    for _ in range(300):
        for group in toy.draw({"set": 200})[0]:
            assert group.draw is not None
            asked[group.draw.row] += 1
            correct[group.draw.row] += sum(reward == 1.0 for reward in group.rewards)
    assert set(asked.values()) == {300}
    rates = 0.05 + 0.85 / (1 + np.exp(difficulties(STILL.tasks[0]) + 1.0))
    found = np.array([correct[row] for row in range(200)]) / 2400
    np.testing.assert_array_less(
        np.abs(found - rates), 4.5 * np.sqrt(rates * (1 - rates) / 2400) + 1e-9
    )
    assert toy.accuracy()[0] == pytest.approx(rates.mean())


def test_tasks_without_a_set_are_drawn_as_ever() -> None:
    toy, sets = policy(remember=True)
    plain = ToyPolicy(STILL, 8, np.random.default_rng(0))
    assert toy.draw({"endless": 50}) == plain.draw({"endless": 50})
    sets.note(toy.draw({"endless": 5})[0], informative)  # nothing to remember, and no error


def test_memory_makes_groups_informative_and_counts_what_it_passes_over() -> None:
    set_ = SimulatedTask("set", skill=-1.0, spread=6.0, learning_rate=0.0, num_prompts=200)
    world = World((set_, STILL.tasks[1]))
    without, remembering = (
        simulate(world, "grpo_rps", steps=60, batch_size=32, prompt_memory=memory)
        for memory in (False, True)
    )
    assert without.skipped.sum() == 0
    assert remembering.skipped[:, 0].sum() > 200
    assert remembering.skipped[:, 1].sum() == 0
    saved = remembering.generated[20:, 0].sum() / without.generated[20:, 0].sum()
    assert saved < 0.8
    assert remembering.shortfall.sum() <= without.shortfall.sum()


def test_a_memory_without_a_finite_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="no task has num_prompts"):
        simulate(World.three_tasks(), steps=1, prompt_memory=True)
    with pytest.raises(ConfigError, match="num_prompts=-1"):
        SimulatedTask("a", num_prompts=-1)

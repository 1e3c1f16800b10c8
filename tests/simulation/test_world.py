"""Worlds: shaped like the paper, written and read."""

from __future__ import annotations

import json

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.simulation import SimulatedTask, World, simulate

from .worlds import STILL, acceptance


def test_worlds_are_shaped_like_the_paper() -> None:
    three, nine = World.three_tasks(), World.nine_tasks()
    rates = dict(zip(three.names, 1 - acceptance(three, 72), strict=True))
    assert rates["zebra-medium"] < 0.05
    assert rates["arc-medium"] == max(rates.values())
    rates = dict(zip(nine.names, 1 - acceptance(nine, 8), strict=True))
    assert rates["arc-hard"] > 0.8
    assert rates["arc-easy"] < rates["arc-medium"] < rates["arc-hard"]


def test_world_to_and_from_plain_values() -> None:
    for world in (World.nine_tasks(), World.random(seed=1, num_tasks=3)):
        assert World.from_dict(json.loads(json.dumps(world.as_dict()))) == world
    assert World.from_dict({"tasks": [{"name": "a"}]}) == World((SimulatedTask("a"),))
    for bad in (
        {},
        {"tasks": [{"skill": 1}]},
        {"tasks": [{"name": "a", "skil": 1}]},
        {"tasks": [{"name": "a", "skill": "x"}]},
        {"tasks": [{"name": "a"}], "noise": 1},
    ):
        with pytest.raises(ConfigError):
            World.from_dict(bad)


def test_worlds_that_cannot_be() -> None:
    for wrong in (
        {"floor": 1.0},
        {"ceiling": 0.0},
        {"spread": -1.0},
        {"format_skill": 0.0},
        {"forgetting": 2.0},
    ):
        with pytest.raises(ConfigError, match="SimulatedTask 'a'"):
            SimulatedTask("a", **wrong)
    with pytest.raises(ConfigError, match="more than once"):
        World((SimulatedTask("a"), SimulatedTask("a")))
    with pytest.raises(ConfigError, match=r"\(1, 1\) is needed"):
        World((SimulatedTask("a"),), transfer=((1.0, 0.0),))
    with pytest.raises(ConfigError, match="did you mean 'three_tasks'"):
        World.named("three_task")
    with pytest.raises(ConfigError, match="batch_size"):
        simulate(STILL, batch_size=30, updates_per_step=4)


def test_a_world_is_a_mapping() -> None:
    with pytest.raises(ConfigError, match="a mapping with the key 'tasks' is needed"):
        World.from_dict(["a"])  # type: ignore[arg-type]

"""Parts of groups, and the states of probes."""

import json

import pytest

from mtgrpo.core.probe_stages import Probe, Stage

TWO = Probe((Stage(8, 0.4, 0.5), Stage(24, 0.5, 0.2)))


def test_sizes_after_each_part():
    assert TWO.sizes(72) == [8, 24, 72]
    assert TWO.sizes(24) == [8, 24]
    assert TWO.size == 8
    assert Probe.whole(16).sizes(16) == [16]


def test_chances_of_passing_all_stages():
    assert TWO.chance_wrong == pytest.approx(0.2)
    assert TWO.chance_right == pytest.approx(0.1)
    assert Probe.whole(16).chance_wrong == 1.0


def test_stages_that_only_whole_groups_reach_are_left_out():
    assert TWO.within(72) == TWO
    assert TWO.within(24) == Probe((Stage(8, 0.4, 0.5),))
    assert TWO.within(8) == Probe.whole(8)


def test_states_and_those_of_one_size_and_one_chance():
    for probe in (TWO, Probe.whole(16)):
        assert Probe.from_state(json.loads(json.dumps(probe.state()))) == probe
    assert Probe.from_state([8, 0.25]) == Probe((Stage(8, 0.25, 0.25),))
    assert Probe.from_state([32, 1.0]) == Probe.whole(32)

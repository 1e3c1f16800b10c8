"""What rollouts took: per group, the same on every process, and summed over a step."""

from dataclasses import replace

import pytest

from mtgrpo.core.types import Group
from mtgrpo.integrations.trl.costs import CostTally, with_costs
from mtgrpo.integrations.trl.rollouts import RecordedRow, RolledOut, split_generation

from .engine import Processes


def group(task: str, lengths: list[int]) -> Group:
    ids = [list(range(length)) for length in lengths]
    generation = split_generation([[[0]] * len(ids), ids], len(ids))
    rows = [RecordedRow({}, part, (1.0, 1.0)) for part in generation]
    return Group(task, (1.0,) * len(rows), payload=rows)


def test_tokens_are_counted_and_seconds_divided_by_them():
    rolled_out = RolledOut([group("a", [3, 5]), group("b", [10, 14])], ["p"], ["c"])
    groups, prompts, completions = with_costs(rolled_out, 4.0, Processes())
    assert [g.cost.tokens for g in groups] == [8, 24]
    assert [g.cost.seconds for g in groups] == pytest.approx([1.0, 3.0])
    assert (prompts, completions) == (["p"], ["c"])


def test_groups_of_other_processes_have_their_costs_too():
    own = group("a", [3, 5])
    rolled_out = RolledOut([own, replace(own, payload=None)], [], [])
    groups = with_costs(rolled_out, 2.0, Processes(2)).groups  # both did the same
    assert [g.cost.tokens for g in groups] == [8, 8]
    assert [g.cost.seconds for g in groups] == pytest.approx([1.0, 1.0])


def test_answers_without_a_token_take_no_time():
    (empty,) = with_costs(RolledOut([group("a", [0, 0])], [], []), 1.0, Processes()).groups
    assert (empty.cost.tokens, empty.cost.seconds) == (0, 0)


def test_a_tally_is_of_one_step():
    tally = CostTally()
    groups = with_costs(RolledOut([group("a", [3, 5])], [], []), 2.0, Processes()).groups
    tally.add([*groups, Group("b", (1.0,))])
    named = {"sampler/tokens_generated": 8, "sampler/generation_time_s": pytest.approx(2.0)}
    assert tally.take_tokens() | tally.take_seconds() == named
    assert set((tally.take_tokens() | tally.take_seconds()).values()) == {0}

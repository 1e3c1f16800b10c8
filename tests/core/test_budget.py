"""A step's budget: its unit, its amount, and what a group costs in it."""

import math

import pytest

from mtgrpo.core.budget import TIGHT_STEPS, Budget, TightBudget
from mtgrpo.core.types import Cost, Group
from mtgrpo.errors import ConfigError


def test_units():
    none, groups, tokens = Budget(None), Budget({"groups": 24}), Budget({"tokens": 4096})
    assert (none.unit, none.amount, none.is_measured) == ("groups", math.inf, False)
    assert (groups.unit, groups.amount, groups.is_measured) == ("groups", 24, False)
    assert (tokens.unit, tokens.amount, tokens.is_measured) == ("tokens", 4096, True)


def test_what_a_group_costs():
    group = Group.verified("a", (1.0, 0.0), cost=Cost(tokens=70, seconds=1.5))
    assert Budget(None).cost(group) == 1
    assert Budget({"tokens": 4096}).cost(group) == 70
    assert Budget({"seconds": 30}).cost(group) == 1.5


def test_completions_need_not_be_told():
    budget = Budget({"completions": 24})
    assert budget.is_measured
    assert budget.cost(Group.verified("a", (1.0, 0.0))) == 2
    assert budget.cost(Group.verified("a", (1.0, math.nan, 0.0))) == 3  # generated all the same


@pytest.mark.parametrize("cost", [None, Cost(seconds=1.0), Cost(-1), Cost(math.nan)])
def test_a_cost_that_was_not_told_is_asked_for(cost):
    group = Group.verified("a", (1.0, 0.0), cost=cost)
    with pytest.raises(ConfigError, match=r"task 'a' .* in tokens: give .*Cost\(tokens="):
        Budget({"tokens": 4096}).cost(group)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"token": 5}, "tokens"),
        ({}, "state one of groups, completions, tokens, seconds"),
        ({"tokens": 5, "seconds": 1}, "state one of"),
        ({"tokens": 0}, "0 tokens; it must be a number above 0"),
        ({"tokens": "5"}, "'5' tokens; it must be a number"),
        ({"tokens": None}, "None tokens"),
        ({"tokens": True}, "True tokens"),
        ({"seconds": math.inf}, "inf seconds"),
        ({"seconds": math.nan}, "nan seconds"),
    ],
)
def test_what_cannot_be_is_refused(stated, message):
    with pytest.raises(ConfigError, match=message):
        Budget(stated)


def test_a_budget_below_the_cost_of_a_group_is_said_once():
    tight = TightBudget(Budget({"tokens": 20}), batch_size=8)
    told = [tight.notice(count) for count in (8, 1, 1, 2, *[1] * 6)]
    assert [bool(text) for text in told] == [False] * (4 + TIGHT_STEPS - 1) + [True] + [False] * 3
    assert told[4 + TIGHT_STEPS - 1].startswith("the sampler's budget of 20 tokens is below what")


@pytest.mark.parametrize(
    ("stated", "batch_size"), [(None, 8), ({"groups": 1}, 8), ({"tokens": 20}, 1)]
)
def test_one_group_a_step_that_was_asked_for_is_no_news(stated, batch_size):
    tight = TightBudget(Budget(stated), batch_size)
    assert not any(tight.notice(1) for _ in range(10))
    assert not TightBudget(None, 8).notice(1)

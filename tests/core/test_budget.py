"""A step's budget: its unit, its amount, and what a group costs in it."""

import math

import pytest

from mtgrpo.core.budget import TIGHT_STEPS, Budget, TightBudget
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.types import Cost, Group
from mtgrpo.errors import ConfigError


def test_units():
    none, groups, tokens = Budget(None), Budget({"groups": 24}), Budget({"tokens": 4096})
    assert (none.unit, none.amount, none.is_measured) == ("groups", math.inf, False)
    assert (groups.unit, groups.amount, groups.is_measured) == ("groups", 24, False)
    assert (tokens.unit, tokens.amount, tokens.is_measured) == ("tokens", 4096, True)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"tokens": 1}, "1 token"),
        ({"tokens": 1.0}, "1 token"),
        ({"seconds": 0.5}, "0.5 seconds"),
        ({"tokens": 1_234_567}, "1,234,567 tokens"),
    ],
)
def test_a_budget_in_words(stated, text):
    assert Budget(stated).text == text


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
    counts = (8, 1, 1, 2, *[1] * 6, 2, *[1] * 6)
    told = [tight.notice(count, (70.0, 40.0)) for count in counts]
    when = 4 + TIGHT_STEPS - 1
    assert [i for i, text in enumerate(told) if text] == [when]
    assert told[when].startswith("the sampler's budget of 20 tokens is below what a group costs: 3")


@pytest.mark.parametrize(
    ("amount", "costs", "is_told"),
    [
        (13, (10.0, 10.0), False),
        (5, (10.0, 10.0), True),
        (13, (40.0, 10.0), False),
        (5, (), False),
    ],
)
def test_only_a_budget_below_the_cheapest_group_is_too_small(amount, costs, is_told):
    """One of 1.3 groups has many steps of one group, and nothing is wrong with it."""
    tight = TightBudget(Budget({"tokens": amount}), batch_size=8)
    assert any(tight.notice(1, costs) for _ in range(10)) == is_told


@pytest.mark.parametrize(("num_groups", "is_told"), [(1.3, False), (0.5, True)])
def test_costs_are_those_that_a_sampler_expects(num_groups, is_told):
    sampler = OneRoundSampler(budget={"tokens": 10 * num_groups})
    mixer = TaskMixer(["a", "b"], batch_size=8, sampler=sampler)
    heard = []
    tight = TightBudget(Budget(sampler.budget), batch_size=8)
    for _ in range(20):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                group = Group.verified(task, (0.0, 1.0), cost=Cost(tokens=10))
                batch.tell([group] * count)
        mixer.update()
        count = sum(mixer.report.totals.num_groups.values())
        heard.append((count, tight.notice(count, mixer.report.expected_costs.values())))

    in_a_row = "".join(str(count) for count, _ in heard[1:])
    assert "1" * TIGHT_STEPS in in_a_row, "or nothing is tested"
    assert sum(bool(text) for _, text in heard) == is_told


@pytest.mark.parametrize(
    ("stated", "batch_size"), [(None, 8), ({"groups": 1}, 8), ({"tokens": 20}, 1)]
)
def test_one_group_a_step_that_was_asked_for_is_no_news(stated, batch_size):
    tight = TightBudget(Budget(stated), batch_size)
    assert not any(tight.notice(1, (70.0,)) for _ in range(10))
    assert not TightBudget(None, 8).notice(1, (70.0,))

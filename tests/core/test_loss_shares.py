import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.errors import ConfigError

EQUAL = {"a": 4, "b": 4}


def test_unequal_lengths_by_hand():
    found = balance_loss(EQUAL, EQUAL, {"a": 100.0, "b": 300.0})
    assert found.before == {"a": 0.25, "b": 0.75}
    assert found.after == {"a": 0.5, "b": 0.5}
    assert found.factors == {"a": 2.0, "b": pytest.approx(2 / 3)}
    assert found.limited == ()


def test_shortfall_by_hand():
    """Quotas 6 and 2; a lacks three groups, which b's surplus filled."""
    found = balance_loss({"a": 6, "b": 2}, {"a": 3, "b": 5}, {"a": 3.0, "b": 5.0})
    assert found.factors == {"a": 2.0, "b": pytest.approx(0.4)}
    assert found.after == {"a": 0.75, "b": 0.25}


def test_nothing_to_mend_is_exactly_one():
    """Bitwise: the factor must not touch an advantage when groups and lengths have the shares already."""
    for quotas in ({"a": 1, "b": 2, "c": 4}, {"a": 3, "b": 3, "c": 1}, {"a": 7, "b": 11, "c": 31}):
        found = balance_loss(quotas, quotas, {task: 17.0 * n for task, n in quotas.items()})
        assert set(found.factors.values()) == {1.0}


def test_one_group_is_not_blown_up():
    quotas, groups = {"a": 8, "b": 8, "c": 16}, {"a": 1, "b": 8, "c": 23}
    found = balance_loss(quotas, groups, {"a": 1.0, "b": 80.0, "c": 230.0})
    assert found.limited == ("a",)
    assert found.after == {
        "a": 4 / 32,
        "b": pytest.approx(28 / 32 / 3),
        "c": pytest.approx(2 * 28 / 32 / 3),
    }
    free = balance_loss(quotas, groups, {"a": 1.0, "b": 80.0, "c": 230.0}, max_group_share=math.inf)
    assert free.limited == ()
    assert free.after == {"a": 0.25, "b": 0.25, "c": 0.5}


def test_length_alone_is_never_limited():
    """The cap looks at groups: a full quota of answers a thousand times shorter still gets its share."""
    found = balance_loss(EQUAL, EQUAL, {"a": 1.0, "b": 1000.0})
    assert found.limited == ()
    assert found.after == {"a": 0.5, "b": 0.5}


def test_a_cap_of_one_counts_every_group_the_same():
    found = balance_loss(
        {"a": 6, "b": 2}, {"a": 3, "b": 5}, {"a": 30.0, "b": 5.0}, max_group_share=1
    )
    assert found.after == {"a": pytest.approx(3 / 8), "b": pytest.approx(5 / 8)}


def test_a_task_without_groups_leaves_its_share_to_the_others():
    found = balance_loss({"a": 2, "b": 1, "c": 1}, {"b": 2, "c": 2}, {"b": 2.0, "c": 6.0})
    assert found.before["a"] == found.after["a"] == 0
    assert found.factors == {"a": 1.0, "b": 2.0, "c": pytest.approx(2 / 3)}


def test_groups_whose_tokens_are_all_masked_have_no_share():
    found = balance_loss(EQUAL, {"a": 4, "b": 4}, {"a": 0.0, "b": 9.0})
    assert found.after == {"a": 0.0, "b": 1.0}
    assert found.factors == {"a": 1.0, "b": 1.0}


def test_filling_of_a_task_without_quota_takes_what_the_cap_leaves():
    found = balance_loss(
        {"a": 4, "b": 0}, {"a": 1, "b": 7}, {"a": 1.0, "b": 7.0}, max_group_share=4
    )
    assert found.after == {"a": 0.5, "b": 0.5}
    assert found.limited == ("a",)
    found = balance_loss({"a": 4, "b": 0}, {"a": 3, "b": 1}, {"a": 1.0, "b": 7.0})
    assert found.after == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize("groups", [{}, {"b": 3}])
def test_nothing_to_go_by_changes_nothing(groups):
    found = balance_loss({"a": 4, "b": 0}, groups, {"b": 2.0})
    assert found.factors == {"a": 1.0, "b": 1.0}
    assert found.before == found.after


counts = st.integers(0, 30)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(counts, counts, st.floats(1e-3, 1e6)), min_size=1, max_size=12),
    cap=st.floats(1, 40),
)
def test_shares_are_exact_within_the_cap_and_the_total_stays(rows, cap):
    targets = {str(i): target for i, (target, _, _) in enumerate(rows)}
    groups = {str(i): count for i, (_, count, _) in enumerate(rows)}
    masses = {str(i): mass * count for i, (_, count, mass) in enumerate(rows)}
    found = balance_loss(targets, groups, masses, cap)
    present = [task for task in targets if groups[task]]
    if not any(targets[task] for task in present):
        assert set(found.factors.values()) == {1.0}
        return
    assert sum(found.after.values()) == pytest.approx(1)
    total = sum(masses.values())
    for task in present:
        assert found.after[task] == pytest.approx(found.factors[task] * masses[task] / total)
        assert found.after[task] <= cap * groups[task] / sum(groups.values()) * (1 + 1e-6)
    exact = [task for task in present if targets[task] and task not in found.limited]
    ratios = [found.after[task] / targets[task] for task in exact]
    assert ratios == pytest.approx(ratios[:1] * len(ratios))
    if not found.limited:
        wanted = sum(targets[task] for task in present)
        assert [found.after[task] for task in exact] == pytest.approx(
            [targets[task] / wanted for task in exact]
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": -1}, {}, {}), "targets of task 'a' is -1"),
        (({"a": 1}, {"a": 1}, {"a": math.nan}), "masses of task 'a' is nan"),
        (({"arc": 1}, {"arcs": 1}, {}), "unknown task 'arcs' (did you mean 'arc'?)"),
        (({"a": 1}, {}, {}, 0.5), "max_group_share=0.5"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ConfigError) as raised:
        balance_loss(*arguments)
    assert message in str(raised.value)

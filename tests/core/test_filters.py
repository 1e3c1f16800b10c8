import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.core.filters import FILTERS, REASONS, get_filter
from mtgrpo.core.types import Group, Verdict
from mtgrpo.errors import ConfigError

N = math.nan
KEEP = ""

# rewards, accuracies (empty: reward >= 1) -> reason to drop under informative, strict, lenient, released_lenient
TABLE = [
    ((0, 0, 0, 1), (), KEEP, KEEP, KEEP, KEEP),
    ((0, 0.1, 0.1, 1), (), KEEP, KEEP, KEEP, KEEP),
    ((0, 0, 0), (), "all_wrong", "all_wrong", "constant_reward", "all_wrong"),
    ((1, 1, 1), (), "all_correct", "all_correct", "constant_reward", "all_correct"),
    # Wrong answers, some with the format reward: lenient lets them through, by design.
    ((0, 0.1, 0), (), "all_wrong", "all_wrong", KEEP, KEEP),
    # All wrong with the format reward: no gradient, and yet the released filter keeps them.
    ((0.1, 0.1, 0.1), (), "all_wrong", "all_wrong", "constant_reward", KEEP),
    ((1, 1.2, 1), (), "all_correct", "all_correct", KEEP, "all_correct"),
    # Correctness varies, the reward does not: nothing to learn from.
    ((0.5, 0.5), (0, 1), "constant_reward", "constant_reward", "constant_reward", KEEP),
    # Partial credit.
    ((0.3, 0.7), (0.3, 0.7), KEEP, "all_wrong", KEEP, KEEP),
    ((0.3, 0.7), (0.5, 0.5), "constant_accuracy", "all_wrong", KEEP, KEEP),
    ((-1, 1), (0, 1), KEEP, KEEP, KEEP, KEEP),
    ((-1, -0.5), (0, 0), "all_wrong", "all_wrong", KEEP, "all_wrong"),
    # A single completion has no spread.
    ((0,), (), "unscorable", "all_wrong", "constant_reward", "all_wrong"),
    ((1,), (), "unscorable", "all_correct", "constant_reward", "all_correct"),
    ((0.1,), (), "unscorable", "all_wrong", "constant_reward", KEEP),
    # Sums that are meant to be equal, and an accuracy of 0 that a subtraction gave.
    ((0.7 + 0.2 + 0.1, 1), (), "all_correct", "all_correct", "constant_reward", "all_correct"),
    ((0.1 + 0.2, 0.3), (1, 0), "constant_reward", "constant_reward", "constant_reward", KEEP),
    ((0.1, 0.3), (-2.8e-17, 0), "all_wrong", "all_wrong", KEEP, KEEP),
    ((0.1 + 0.2 - 0.3, 0), (), "all_wrong", "all_wrong", "constant_reward", "all_wrong"),
    ((0, 1), (0.3, 0.1 + 0.2), "constant_accuracy", "all_wrong", KEEP, KEEP),
    # NaN: completions that could not be scored do not count.
    ((N, N), (), "unscorable", "unscorable", "unscorable", "unscorable"),
    ((N, 0, 1), (), KEEP, KEEP, KEEP, KEEP),
    ((0, 1, N), (), KEEP, KEEP, KEEP, KEEP),
    ((N, 1), (), "unscorable", "all_correct", "constant_reward", "all_correct"),
    ((1, N, 1), (), "all_correct", "all_correct", "constant_reward", "all_correct"),
    ((0, N, 0), (0, 1, 0), "all_wrong", "all_wrong", "constant_reward", "all_wrong"),
]


@pytest.mark.parametrize(
    ("rewards", "accuracies", "informative", "strict", "lenient", "released_lenient"), TABLE
)
def test_table(rewards, accuracies, informative, strict, lenient, released_lenient):
    group = Group("a", rewards, accuracies) if accuracies else Group.verified("a", rewards)
    found = {name: FILTERS[name](group) for name in FILTERS}
    expected = {
        "informative": informative,
        "strict": strict,
        "lenient": lenient,
        "released_lenient": released_lenient,
        "none": "unscorable" if all(math.isnan(r) for r in rewards) else KEEP,
    }
    assert found == {name: Verdict(reason == KEEP, reason) for name, reason in expected.items()}


numbers = st.sampled_from([0.0, 0.1, 0.5, 1.0, N])


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(numbers, min_size=n, max_size=n), st.lists(numbers, min_size=n, max_size=n)
        )
    )
)
def test_the_default_never_keeps_what_cannot_teach(case):
    rewards = case[0]
    accuracies = [
        N if math.isnan(r) else (0.0 if math.isnan(a) else a) for r, a in zip(*case, strict=True)
    ]
    verdict = get_filter("informative")(Group("a", tuple(rewards), tuple(accuracies)))
    scored = [(r, a) for r, a in zip(rewards, accuracies, strict=True) if not math.isnan(r)]
    varies = len({r for r, _ in scored}) > 1 and len({a for _, a in scored}) > 1
    assert verdict.keep == varies
    assert bool(verdict.reason) != verdict.keep


def test_a_function_is_its_own_filter():
    def mine(group: Group) -> Verdict:
        return Verdict(len(group.rewards) > 2, "too_small")

    assert get_filter(mine) is mine


def test_unknown_filters_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'strict'"):
        get_filter("strikt")


def test_every_filter_states_the_reasons_it_gives():
    values = [0.0, 0.1, 1.0, N]
    groups = [
        Group("a", (r, s), accuracies) for r in values for s in values
        for accuracies in ((), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.0, 1.0))
    ]  # fmt: skip
    for name, keep in FILTERS.items():
        given = {keep(group).reason for group in groups} - {""}
        assert given == set(REASONS[keep]), name

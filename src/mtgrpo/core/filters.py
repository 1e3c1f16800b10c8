"""Which groups are informative: group -> keep, or drop and why.

GRPO's advantage is ``(reward - mean) / std`` within a group, so a group of equal rewards moves
nothing (a zero-gradient group). Filtering on the *shaped* reward alone lets groups through in which
every completion is wrong and only the format differs; training on those has destroyed policies in
other systems. `informative`, the default, therefore asks that correctness varies and that the
reward varies too. Where nothing is known about right and wrong, in graded groups, the reward alone
is asked.

Numbers are compared within `mtgrpo.core.types.TOLERANCE`: rounding decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from mtgrpo.core.types import TOLERANCE, Group, Verdict, all_equal, at_least
from mtgrpo.errors import ConfigError, unknown

GroupFilter: TypeAlias = Callable[[Group], Verdict]

_KEEP = Verdict(True)
_UNSCORABLE = Verdict(False, "unscorable")
_CONSTANT = Verdict(False, "constant_reward")
_ALL_CORRECT = Verdict(False, "all_correct")
_ALL_WRONG = Verdict(False, "all_wrong")
_SAME_ACCURACY = Verdict(False, "constant_accuracy")


def informative(group: Group) -> Verdict:
    """Keep when accuracy varies among the completions, and reward too. The default.

    Completions whose reward is NaN are ignored; a group without two scorable
    completions is dropped.
    """
    accuracies, rewards = _scorable(group)
    if len(rewards) < 2:
        return _UNSCORABLE
    if group.is_graded:
        return _CONSTANT if all_equal(rewards) else _KEEP

    if all_equal(accuracies):
        if at_least(accuracies[0], 1.0):
            return _ALL_CORRECT
        return _ALL_WRONG if accuracies[0] <= TOLERANCE else _SAME_ACCURACY
    return _CONSTANT if all_equal(rewards) else _KEEP


def strict(group: Group) -> Verdict:
    """Keep when a completion is correct and another is not (paper, 3-task setting).

    A constant reward is dropped all the same: it has no gradient. (With the paper's
    rewards it cannot occur here.)
    """
    accuracies, rewards = _scorable(group)
    if not rewards:
        return _UNSCORABLE
    if group.is_graded:
        return _CONSTANT if all_equal(rewards) else _KEEP

    num_correct = sum(at_least(a, 1.0) for a in accuracies)
    if num_correct == 0:
        return _ALL_WRONG

    if num_correct == len(accuracies):
        return _ALL_CORRECT
    return _CONSTANT if all_equal(rewards) else _KEEP


def lenient(group: Group) -> Verdict:
    """Keep when the reward varies, be it through the format reward (paper, 9-task setting)."""
    _, rewards = _scorable(group)
    if not rewards:
        return _UNSCORABLE
    return _CONSTANT if all_equal(rewards) else _KEEP


def released_lenient(group: Group) -> Verdict:
    """As the released 9-task code: drop only rewards that are all 0 or all 1.

    A group whose rewards are all 0.1 passes, though it has no gradient. Kept for
    fidelity alone.
    """
    _, rewards = _scorable(group)
    if not rewards:
        return _UNSCORABLE

    if all(at_least(r, 1.0) for r in rewards):
        return _ALL_CORRECT
    return _ALL_WRONG if max(rewards) <= TOLERANCE else _KEEP


def keep_all(group: Group) -> Verdict:
    """Keep every group (plain GRPO) but one in which nothing could be scored."""
    return _UNSCORABLE if math.isnan(group.mean_reward) else _KEEP


FILTERS: Mapping[str, GroupFilter] = {
    "informative": informative,
    "strict": strict,
    "lenient": lenient,
    "released_lenient": released_lenient,
    "none": keep_all,
}


# What each of them says of a group that it drops.
REASONS: Mapping[GroupFilter, tuple[str, ...]] = {
    informative: (
        *("all_correct", "all_wrong", "constant_accuracy", "constant_reward", "unscorable"),
    ),
    strict: ("all_correct", "all_wrong", "constant_reward", "unscorable"),
    lenient: ("constant_reward", "unscorable"),
    released_lenient: ("all_correct", "all_wrong", "unscorable"),
    keep_all: ("unscorable",),
}


def get_filter(group_filter: str | GroupFilter) -> GroupFilter:
    """The filter of that name, or the function itself.

    Raises:
        ConfigError: The name is not one of `FILTERS`.
    """
    if callable(group_filter):
        return group_filter
    if group_filter not in FILTERS:
        raise ConfigError(unknown("group_filter", "filter", group_filter, FILTERS))
    return FILTERS[group_filter]


def informative_filter(group_filter: GroupFilter) -> GroupFilter:
    """What says whether a group is informative: the filter, or the default for "none"."""
    return informative if group_filter is keep_all else group_filter


def _scorable(group: Group) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # Accuracies and rewards of the completions that could be scored.
    rewards = group.rewards
    if not math.isnan(math.fsum(rewards)):
        return group.accuracies, rewards

    known = [i for i, r in enumerate(rewards) if not math.isnan(r)]
    accuracies = () if group.is_graded else tuple(group.accuracies[i] for i in known)
    return accuracies, tuple(rewards[i] for i in known)

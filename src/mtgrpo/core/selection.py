"""Which of the accepted groups a batch trains on: the quotas' first, then what fills it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtgrpo.core.types import Group


class Selection(NamedTuple):
    """A division of the accepted groups.

    Attributes:
        groups: To train on.
        surplus: The others.
    """

    groups: list[Group]
    surplus: list[Group]


def select(
    banked: list[Group],
    accepted: list[Group],
    quotas: Mapping[str, int] | None,
    batch_size: int,
    fill_up: bool,
    rng: np.random.Generator,
) -> Selection:
    """Divide the groups: at most n_k of each task, then any others up to B.

    Args:
        banked: Groups of earlier steps, within the quotas and B: they are always chosen.
        accepted: Groups of this step that passed the filter.
        quotas: n_k, groups wanted per task; None takes any.
        batch_size: B.
        fill_up: Whether groups beyond their quota may take the places that are left.
        rng: Decides where there are more groups than places.

    Source: paper, Algorithm 2, last lines.
    """
    if quotas is None:
        fresh, surplus = split(accepted, batch_size - len(banked), rng)
        return Selection(banked + fresh, surplus)

    # Within a task the order, by uid, does not depend on what is in the groups: the first n_k
    # are as random as any.
    wanted, surplus = list[Group](), list[Group]()
    room = dict(quotas)
    for group in banked + accepted:
        if room[group.task] > 0:
            room[group.task] -= 1
            wanted.append(group)
        else:
            surplus.append(group)

    # Quotas of the released rule may sum to more than B.
    fresh, excess = split(wanted[len(banked) :], batch_size - len(banked), rng)
    groups, surplus = banked + fresh, surplus + excess

    if fill_up and len(groups) < batch_size:
        filling, surplus = split(surplus, batch_size - len(groups), rng)
        groups = groups + filling

    return Selection(groups, surplus)


def split(
    groups: list[Group], count: int, rng: np.random.Generator
) -> tuple[list[Group], list[Group]]:
    """`count` of the groups, drawn at random, and the rest; both in the order they came in.

    Not simply the first ones: engines may hand groups in task by task.
    """
    if len(groups) <= count:
        return groups, []

    drawn = set(rng.permutation(len(groups))[:count].tolist())
    chosen = [group for i, group in enumerate(groups) if i in drawn]
    others = [group for i, group in enumerate(groups) if i not in drawn]
    return chosen, others

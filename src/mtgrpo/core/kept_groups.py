"""The groups that a batch holds on to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mtgrpo.core.selection import select
from mtgrpo.core.types import Group, State


class KeptGroups:
    """Groups that may be trained on, and a few that may not.

    Args:
        banked: Groups of earlier steps.
        batch_size: B; so many of the dropped groups are kept, as completions are large.

    Attributes:
        banked: Groups of earlier steps.
        accepted: Groups of this step that passed the filter; once there is a selection,
            those of them that are not in it.
        dropped: The first groups that did not pass, for padding.
        selected: The groups to train on; None before `select`.
    """

    def __init__(self, banked: Iterable[Group], batch_size: int) -> None:
        self._batch_size = batch_size
        self.banked = list(banked)
        self.accepted: list[Group] = []
        self.dropped: list[Group] = []
        self.selected: list[Group] | None = None

    def add(self, accepted: Iterable[Group], dropped: Iterable[Group]) -> None:
        """Take in groups of the round under way."""
        self.accepted += accepted
        self.dropped += dropped

    def end_round(self, num_accepted: int, num_dropped: int) -> None:
        """Bring the groups of a round into an order that does not depend on when they came.

        Args:
            num_accepted: How many of the accepted groups, the last ones, are of this round.
            num_dropped: How many of the dropped ones.
        """
        _sort_last(self.accepted, num_accepted)
        _sort_last(self.dropped, num_dropped)
        del self.dropped[self._batch_size :]

    def select(
        self, quotas: Mapping[str, int] | None, fill_up: bool, rng: np.random.Generator
    ) -> None:
        """Choose what to train on; see `mtgrpo.core.selection.select` for the arguments."""
        self.selected, self.accepted = select(
            self.banked, self.accepted, quotas, self._batch_size, fill_up, rng
        )

    def attach(self, payloads: Mapping[int | str, Any]) -> None:
        """Give restored groups their payloads back, by ``uid``."""
        self.banked = [g.with_payload(payloads) for g in self.banked]
        self.accepted = [g.with_payload(payloads) for g in self.accepted]
        self.dropped = [g.with_payload(payloads) for g in self.dropped]
        if self.selected is not None:
            self.selected = [g.with_payload(payloads) for g in self.selected]

    def state_dict(self) -> State:
        """Everything but payloads."""
        return {
            "banked": [g.state() for g in self.banked],
            "accepted": [g.state() for g in self.accepted],
            "dropped": [g.state() for g in self.dropped],
            "selected": None if self.selected is None else [g.state() for g in self.selected],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned, without payloads."""
        self.banked = [Group.from_state(g) for g in state["banked"]]
        self.accepted = [Group.from_state(g) for g in state["accepted"]]
        self.dropped = [Group.from_state(g) for g in state["dropped"]]
        self.selected = None
        if state["selected"] is not None:
            self.selected = [Group.from_state(g) for g in state["selected"]]


def _sort_last(groups: list[Group], count: int) -> None:
    # Groups of the same uid stay as they were told.
    start = len(groups) - count
    groups[start:] = sorted(groups[start:], key=_uid_key)


def _uid_key(group: Group) -> tuple[bool, int, str]:
    # Numbers before texts, which cannot be compared with them.
    uid = group.uid
    return (True, 0, uid) if isinstance(uid, str) else (False, uid, "")

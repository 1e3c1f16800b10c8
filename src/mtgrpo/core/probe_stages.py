"""In what parts a group is generated, and with which chances it goes on after each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """A look at a group when it has so many completions; those that are mixed always go on.

    Attributes:
        size: Completions that the group has.
        if_wrong: Chance, above 0, that it goes on if all of them are wrong.
        if_right: The same if all of them are right.
    """

    size: int
    if_wrong: float = 1.0
    if_right: float = 1.0


class Probe(NamedTuple):
    """In what parts groups are generated, and which go on after each.

    Attributes:
        stages: One after the other; a whole group has one, of its own size.
    """

    stages: tuple[Stage, ...]

    @classmethod
    def whole(cls, group_size: int) -> Probe:
        """That of groups which are generated at once."""
        return cls((Stage(group_size),))

    @classmethod
    def with_one_chance(cls, sizes: Iterable[int], chances: Iterable[float]) -> Probe:
        """Right and wrong ones go on with the same chance."""
        pairs = zip(sizes, chances, strict=True)
        return cls(tuple(Stage(size, chance, chance) for size, chance in pairs))

    @property
    def size(self) -> int:
        """n0, completions of the first part."""
        return self.stages[0].size

    @property
    def chance_wrong(self) -> float:
        """With which a group of wrong completions alone passes all stages."""
        return math.prod(stage.if_wrong for stage in self.stages)

    @property
    def chance_right(self) -> float:
        """With which a group of right completions alone passes all stages."""
        return math.prod(stage.if_right for stage in self.stages)

    @property
    def completes_all(self) -> bool:
        """Whether every group passes all stages: it is whole, be it in parts."""
        return all(stage.if_wrong == stage.if_right == 1.0 for stage in self.stages)

    def num_sampled(self, group_size: int) -> int:
        """Completions that the task's mean is taken over: n0, or all where all are always there."""
        return group_size if self.completes_all else min(self.size, group_size)

    def within(self, group_size: int) -> Probe:
        """This probe for groups of G: stages that whole groups would have are left out."""
        stages = tuple(stage for stage in self.stages if stage.size < group_size)
        return Probe(stages) if stages else Probe.whole(group_size)

    def sizes(self, group_size: int) -> list[int]:
        """Completions that a group has after each of its parts; G after the last."""
        inner = [stage.size for stage in self.stages if stage.size < group_size]
        return [*inner, group_size]

    def stage(self, size: int) -> Stage | None:
        """That of groups which have so many completions; None where there is none."""
        return next((stage for stage in self.stages if stage.size == size), None)

    def state(self) -> list[Any]:
        """JSON-able."""
        return [list(stage) for stage in self.stages]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> Probe:
        """The probe that `state` describes; one size and one chance before there were stages."""
        if isinstance(state[0], (int, float)):
            return cls.with_one_chance([int(state[0])], [state[1]])
        return cls(tuple(Stage(*stage) for stage in state))

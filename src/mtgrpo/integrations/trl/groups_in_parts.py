"""Groups in parts under TRL: probes are rolled out, then the others of those that go on.

A call of TRL's generation has groups of one size, and as many on each process; the later parts of a
group are generated where the first one is. Places that are left over have a prompt of the others,
whose completions nobody needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from mtgrpo.core.probe_stages import Probe
from mtgrpo.core.types import Cost, Group, Probed

Prompt: TypeAlias = "tuple[str, int]"  # task and training row


class GroupsInParts:
    """Rolls out a round in parts.

    Args:
        group_size: G.
        num_processes: Processes that share a round.
        roll_out: One group of a size per prompt, in order; each process generates an equal part of
            them. Told whether these are first parts.
        decide: What each group counts once it is completed, 0 where no more of it is to be
            generated.
    """

    def __init__(
        self,
        group_size: int,
        num_processes: int,
        roll_out: Callable[[Sequence[Prompt], int, bool], list[Group]],
        decide: Callable[[Sequence[Group]], Sequence[float]],
    ) -> None:
        self._group_size, self._num_processes = group_size, num_processes
        self._roll_out, self._decide = roll_out, decide
        self.num_unneeded = 0  # completions in the places left over

    def round(self, plan: Sequence[Prompt], probes: Mapping[str, Probe]) -> list[Group]:
        """A group per prompt, in order; some of them stay as they are after one of their parts.

        Args:
            plan: Prompts.
            probes: That of each task.
        """
        sizes = [probes[task].sizes(self._group_size) for task, _ in plan]  # after each part
        groups, owners = self._begin(plan, [own[0] for own in sizes])

        going_on = [i for i in range(len(plan)) if len(sizes[i]) > 1]
        for i in going_on:
            num_sampled = probes[plan[i][0]].num_sampled(self._group_size)
            groups[i] = replace(groups[i], probe=Probed(num_sampled, 0))

        for stage in range(1, max(map(len, sizes))):
            going_on = [i for i in going_on if len(sizes[i]) > stage]
            decided = self._decide([groups[i] for i in going_on])
            weights = dict(zip(going_on, decided, strict=True))

            for i, weight in weights.items():
                if not weight:
                    groups[i] = left_in_part(groups[i], self._group_size)
            going_on = [i for i in going_on if weights[i]]

            steps = {i: sizes[i][stage] - sizes[i][stage - 1] for i in going_on}
            for i, more in self._go_on(plan, steps, owners).items():
                groups[i] = joined(groups[i], more, weights[i])

        return [groups[i] for i in range(len(plan))]

    def _begin(
        self, plan: Sequence[Prompt], sizes: Sequence[int]
    ) -> tuple[dict[int, Group], dict[int, int]]:
        """First parts by their place in the plan, and the process that each is on."""
        groups: dict[int, Group] = {}
        owners: dict[int, int] = {}

        for size in sorted(set(sizes)):
            dealt = self._deal([i for i in range(len(plan)) if sizes[i] == size])
            groups |= self._generate(plan, dealt, size, is_first=True)
            owners |= {i: process for process, own in enumerate(dealt) for i in own}

        return groups, owners

    def _go_on(
        self, plan: Sequence[Prompt], sizes: Mapping[int, int], owners: Mapping[int, int]
    ) -> dict[int, Group]:
        """So many more completions of the prompts at these places, where their groups began."""
        groups: dict[int, Group] = {}
        for size in sorted(set(sizes.values())):
            places = [i for i in sizes if sizes[i] == size]
            dealt = [[i for i in places if owners[i] == r] for r in range(self._num_processes)]
            groups |= self._generate(plan, dealt, size, is_first=False)
        return groups

    def _deal(self, places: Sequence[int]) -> list[list[int]]:
        share = -(-len(places) // self._num_processes)
        starts = range(0, share * self._num_processes, share)
        return [list(places[start : start + share]) for start in starts]

    def _generate(
        self,
        plan: Sequence[Prompt],
        dealt: Sequence[Sequence[int]],
        size: int,
        *,
        is_first: bool,
    ) -> dict[int, Group]:
        """Groups by their place in the plan.

        Args:
            plan: Prompts.
            dealt: For each process the places of those that it generates.
            size: Completions of each.
            is_first: Whether these are first parts.
        """
        most = max(len(own) for own in dealt)
        filling = next(own[0] for own in dealt if own)
        slots: list[int | None] = []
        for own in dealt:
            slots += [*own, *[None] * (most - len(own))]

        prompts = [plan[filling if place is None else place] for place in slots]
        groups = self._roll_out(prompts, size, is_first)

        self.num_unneeded += slots.count(None) * size
        pairs = zip(slots, groups, strict=True)
        return {place: group for place, group in pairs if place is not None}


def joined(begun: Group, more: Group, weight: float) -> Group:
    """A group and its next part; nothing of it is scored if one of them is not.

    Args:
        begun: What there was of it, with its number.
        more: The completions that are new.
        weight: What it counts.
    """
    if _is_unscored(begun) or _is_unscored(more):
        begun, more = _unscored(begun), _unscored(more)

    payload = None
    if begun.payload is not None:
        payload = [replace(row, weight=weight) for row in [*begun.payload, *more.payload]]

    accuracies = begun.accuracies + more.accuracies
    if begun.is_graded or more.is_graded:
        accuracies = ()

    return replace(
        begun,
        rewards=begun.rewards + more.rewards,
        accuracies=accuracies,
        payload=payload,
        cost=_sum(begun.cost, more.cost),
        probe=Probed(_first_size(begun), weight),
    )


def left_in_part(begun: Group, group_size: int) -> Group:
    """A group of which no more is generated.

    Its rows are repeated to a whole group's, so that it can fill up a batch without a gradient:
    the loss is averaged over about as many tokens as the whole group would have had.
    """
    payload = begun.payload
    if payload is not None:
        payload = [payload[i % len(payload)] for i in range(group_size)]
    return replace(begun, payload=payload, probe=Probed(_first_size(begun), 0))


def _first_size(begun: Group) -> int:
    return len(begun.rewards) if begun.probe is None else begun.probe.size


def _is_unscored(part: Group) -> bool:
    return all(math.isnan(reward) for reward in part.rewards)


def _unscored(part: Group) -> Group:
    payload = part.payload
    if payload is not None:
        payload = [replace(row, rewards=(math.nan,) * len(row.rewards)) for row in payload]

    return replace(
        part,
        rewards=(math.nan,) * len(part.rewards),
        accuracies=(math.nan,) * len(part.accuracies),
        payload=payload,
    )


def _sum(one: Cost | None, other: Cost | None) -> Cost | None:
    if one is None or other is None:
        return None

    tokens = (one.tokens or 0.0) + (other.tokens or 0.0)
    seconds = (one.seconds or 0.0) + (other.seconds or 0.0)
    return Cost(tokens=tokens, seconds=seconds)

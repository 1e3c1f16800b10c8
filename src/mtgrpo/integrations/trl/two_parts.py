"""Groups in two parts under TRL: probes are rolled out, then the others of those that go on.

A call of TRL's generation has groups of one size, and as many on each process; the second part of a
group is generated where the first one is. Places that are left over have a prompt of the others,
whose completions nobody needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from mtgrpo.core.probe_choice import Probe
from mtgrpo.core.types import Cost, Group, Probed

Prompt: TypeAlias = "tuple[str, int]"  # task and training row


class TwoParts:
    """Rolls out a round in two parts.

    Args:
        group_size: G.
        num_processes: Processes that share a round.
        roll_out: One group of a size per prompt, in order; each process generates an equal part of
            them. Told whether these are second parts.
        decide: What each group counts once it is completed, 0 where it is not to be.
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
        """A group per prompt, in order; of some of them there is only the probe.

        Args:
            plan: Prompts.
            probes: That of each task.
        """
        sizes = [probes[task].size for task, _ in plan]
        begun: dict[int, Group] = {}
        owners: dict[int, int] = {}

        for size in sorted(set(sizes)):
            places = [i for i in range(len(plan)) if sizes[i] == size]
            dealt = self._deal(places)
            begun |= self._generate(plan, dealt, size)
            owners |= {i: process for process, own in enumerate(dealt) for i in own}

        weights = self._decide([begun[i] for i in range(len(plan))])
        rest: dict[int, Group] = {}
        for size in sorted(set(sizes)):
            going_on = [i for i in range(len(plan)) if sizes[i] == size and weights[i]]
            if going_on and size < self._group_size:
                dealt = [
                    [i for i in going_on if owners[i] == r] for r in range(self._num_processes)
                ]
                rest |= self._generate(plan, dealt, self._group_size - size, is_rest=True)

        groups: list[Group] = []
        for i, weight in enumerate(weights):
            if i in rest:
                groups.append(completed(begun[i], rest[i], weight))
            elif weight:
                groups.append(begun[i])  # whole from the start
            else:
                groups.append(left_as_probe(begun[i], self._group_size))
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
        is_rest: bool = False,
    ) -> dict[int, Group]:
        """Groups by their place in the plan.

        Args:
            plan: Prompts.
            dealt: For each process the places of those that it generates.
            size: Completions of each.
            is_rest: Whether these are second parts.
        """
        most = max(len(own) for own in dealt)
        filling = next(own[0] for own in dealt if own)
        slots: list[int | None] = []
        for own in dealt:
            slots += [*own, *[None] * (most - len(own))]

        prompts = [plan[filling if place is None else place] for place in slots]
        groups = self._roll_out(prompts, size, is_rest)

        self.num_unneeded += slots.count(None) * size
        pairs = zip(slots, groups, strict=True)
        return {place: group for place, group in pairs if place is not None}


def completed(begun: Group, rest: Group, weight: float) -> Group:
    """The whole group of two parts; nothing of it is scored if one of them is not.

    Args:
        begun: Its probe, with its number.
        rest: The other completions.
        weight: What it counts.
    """
    if _is_unscored(begun) or _is_unscored(rest):
        begun, rest = _unscored(begun), _unscored(rest)

    payload = None
    if begun.payload is not None:
        payload = [replace(row, weight=weight) for row in [*begun.payload, *rest.payload]]

    accuracies = begun.accuracies + rest.accuracies
    if begun.is_graded or rest.is_graded:
        accuracies = ()

    return replace(
        begun,
        rewards=begun.rewards + rest.rewards,
        accuracies=accuracies,
        payload=payload,
        cost=_sum(begun.cost, rest.cost),
        probe=Probed(len(begun.rewards), weight),
    )


def left_as_probe(begun: Group, group_size: int) -> Group:
    """A group of which there is only the probe.

    Its rows are repeated to a whole group's, so that it can fill up a batch without a gradient:
    the loss is averaged over about as many tokens as the whole group would have had.
    """
    payload = begun.payload
    if payload is not None:
        payload = [payload[i % len(payload)] for i in range(group_size)]
    return replace(begun, payload=payload, probe=Probed(len(begun.rewards), 0))


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

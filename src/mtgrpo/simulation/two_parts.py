"""Groups of the toy policy in two parts: probes, and the others where it is worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mtgrpo.core.probes import StepProbes
from mtgrpo.core.types import Group, Probed
from mtgrpo.simulation.policy import ToyPolicy


def draw_in_parts(policy: ToyPolicy, request: Mapping[str, int], probes: StepProbes) -> list[Group]:
    """That many groups of each task, for prompts drawn at random, as `ToyPolicy.draw`.

    Args:
        policy: Draws.
        request: Groups of each task.
        probes: Says how large the first parts are, and which groups are completed.
    """
    groups: list[Group] = []
    for name, count in request.items():
        groups += _draw_task(policy, name, count, probes)
    return groups


def _draw_task(policy: ToyPolicy, name: str, count: int, probes: StepProbes) -> list[Group]:
    size = policy.group_size
    first = probes.of(name, size).size
    rates, draws = policy.draw_prompts(name, count)

    begun: list[Group] = []
    for answers, draw in zip(policy.answers(name, rates, first), draws, strict=True):
        probe = Probed(first, 0) if first < size else None
        begun.append(replace(policy.group(name, [answers]), draw=draw, probe=probe))

    weights = probes.weights(begun)
    if first == size:
        return begun

    groups: list[Group] = []
    rest = policy.answers(name, rates, size - first)
    for group, answers, weight in zip(begun, rest, weights, strict=True):
        if not weight:
            groups.append(group)
            continue

        whole = policy.group(name, [group.payload, answers])
        groups.append(replace(whole, draw=group.draw, probe=Probed(first, weight)))
    return groups

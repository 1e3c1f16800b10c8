"""Groups of the toy policy in parts: probes, and the others where it is worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from mtgrpo.core.probes import StepProbes
from mtgrpo.core.types import Group, Probed
from mtgrpo.simulation.policy import Answers, ToyPolicy


def draw_in_parts(policy: ToyPolicy, request: Mapping[str, int], probes: StepProbes) -> list[Group]:
    """That many groups of each task, for prompts drawn at random, as `ToyPolicy.draw`.

    Args:
        policy: Draws.
        request: Groups of each task.
        probes: Says how large the parts are, and which groups are completed.
    """
    groups: list[Group] = []
    for name, count in request.items():
        groups += _draw_task(policy, name, count, probes)
    return groups


def _draw_task(policy: ToyPolicy, name: str, count: int, probes: StepProbes) -> list[Group]:
    chosen = probes.of(name, policy.group_size)
    sizes, num_sampled = chosen.sizes(policy.group_size), chosen.num_sampled(policy.group_size)
    rates, draws = policy.draw_prompts(name, count)

    parts: list[list[Answers]] = [[answers] for answers in policy.answers(name, rates, sizes[0])]
    groups: list[Group] = []
    for own, draw in zip(parts, draws, strict=True):
        probe = Probed(num_sampled, 0) if len(sizes) > 1 else None
        groups.append(replace(policy.group(name, own), draw=draw, probe=probe))

    going_on = list(range(count))
    for size, larger in pairwise(sizes):
        weights = probes.weights([groups[i] for i in going_on])
        more = policy.answers(name, rates, larger - size)

        for i, weight in zip(going_on, weights, strict=True):
            if not weight:
                groups[i] = replace(groups[i], probe=Probed(num_sampled, 0))
                continue
            parts[i].append(more[i])
            probe = Probed(num_sampled, weight)
            groups[i] = replace(policy.group(name, parts[i]), draw=draws[i], probe=probe)

        going_on = [i for i, weight in zip(going_on, weights, strict=True) if weight]

    return groups

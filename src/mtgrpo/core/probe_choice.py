"""Which probes large groups should have, from each task's acceptance rate and mean accuracy.

The pass rates of a task's prompts are taken to be Beta-distributed, with the mean accuracy J and
the share a_G of mixed groups. Then all that a probe does is known in closed form: what its parts
cost, and how much of the signal is first seen in each.

All tasks of a step have stages of the same sizes, so that a stage is one call of generation, and
chances of their own. What a stage saves hardly depends on its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from mtgrpo.core.beta_prompts import BetaPrompts
from mtgrpo.core.probe_stages import Probe, Stage

LEAST_SAVING = 1.1
"""Groups are whole in a step, and all of a task's are completed, where probes promise less."""
LEAST_GAIN = 1.05
"""A second stage, which is one more call of generation, has to save so many times what one does, in
the tasks of which not all groups are completed."""
LEAST_GROUP = 16
"""Smallest group that is worth a probe."""
SIZES = (4, 6, 8, 12, 16, 24, 32, 48)
LEAST_CHANCE = 1 / 16
"""Least chance of being completed, all stages together: a group counts at most 1 / it."""
NUM_ITERATIONS = 60


class ProbeValue(NamedTuple):
    """What a probe does, against whole groups.

    Attributes:
        cost: Completions.
        variance: Second moment of a group's weighted signal: groups that count for several make it
            larger than 1.
        saving: By how much fewer completions are needed for the same variance of the gradient.
    """

    cost: float
    variance: float
    saving: float


class _Part(NamedTuple):
    """What going on from a stage takes, and brings, for groups that are alike until then.

    Attributes:
        cost: Completions until the next stage, and all those of the groups found mixed in them.
        signal: Second moment of the signal of the groups found mixed.
        length: Neighbouring parts that have one chance together.
    """

    cost: float
    signal: float
    length: int = 1


class ProbeChoice:
    """Compares the probes of a distribution's groups.

    Args:
        prompts: The distribution, and the size of its groups.
    """

    def __init__(self, prompts: BetaPrompts) -> None:
        self._size, self._whole_signal = prompts.group_size, prompts.signal()

        # Of groups that are all wrong, and all right, so far: share and signal, by size.
        self._sides = (
            _Side(prompts.share_wrong, prompts.signal_after_wrong),
            _Side(prompts.share_right, prompts.signal_after_right),
        )

    def __repr__(self) -> str:
        return f"ProbeChoice(group_size={self._size})"

    def value(self, probe: Probe) -> ProbeValue:
        """What a probe does for groups of this distribution."""
        sizes = [stage.size for stage in probe.stages]
        wrong = _passed(stage.if_wrong for stage in probe.stages)
        right = _passed(stage.if_right for stage in probe.stages)

        cost, signal = self._always(sizes[0])
        for side, chances in zip(self._sides, (wrong, right), strict=True):
            for part, chance in zip(side.parts(sizes, self._size), chances, strict=True):
                cost += part.cost * chance
                signal += part.signal / chance

        cost, variance = cost / self._size, signal / self._whole_signal
        return ProbeValue(cost, variance, saving=1 / (cost * variance))

    def with_sizes(self, sizes: Sequence[int]) -> Probe:
        """The best chances of stages of these sizes.

        A part of cost c and signal m that is reached with chance s adds s c to the cost and m / s
        to the variance. Cost times variance is least at s = sqrt(m / (mu c)), with mu variance over
        cost, but at most 1, and in no part more than in the one before.
        """
        wrong, right = (pooled(side.parts(sizes, self._size)) for side in self._sides)
        least_cost, least_signal = self._always(sizes[0])
        price = self._whole_signal / self._size

        for _ in range(NUM_ITERATIONS):
            cost, signal = least_cost, least_signal
            for part in [*wrong, *right]:
                chance = _chance(part, price)
                cost += part.cost * chance
                signal += part.signal / chance

            before, price = price, signal / cost
            if abs(price - before) <= 1e-6 * before:
                break

        of_wrong, of_right = _by_stage(wrong, price), _by_stage(right, price)
        return Probe(tuple(map(Stage, sizes, of_wrong, of_right)))

    def worthwhile(self, sizes: Sequence[int]) -> tuple[Probe, float]:
        """The best chances of stages of these sizes, 1 where they save too little; the saving."""
        probe = self.with_sizes(sizes)
        saving = self.value(probe).saving
        if saving < LEAST_SAVING:
            return Probe(tuple(map(Stage, sizes))), 1.0
        return probe, saving

    def _always(self, size: int) -> tuple[float, float]:
        """Cost and signal of the first part, and of what is found mixed in it."""
        alike = sum(side.share(size) for side in self._sides)
        after = sum(side.signal(size) for side in self._sides)
        cost = size + max(0.0, 1 - alike) * (self._size - size)
        return cost, max(self._whole_signal - after, 0.0)


class _Side:
    """Groups that are all wrong so far, or all right.

    Args:
        share: P(so), by the completions so far.
        signal: Second moment of the signal of whole groups that are so, likewise.
    """

    def __init__(self, share: Callable[[int], float], signal: Callable[[int], float]) -> None:
        self._share, self._signal = share, signal
        self._known: dict[int, tuple[float, float]] = {}

    def share(self, size: int) -> float:
        return self._of(size)[0]

    def signal(self, size: int) -> float:
        return self._of(size)[1]

    def _of(self, size: int) -> tuple[float, float]:
        if size not in self._known:
            self._known[size] = self._share(size), self._signal(size)
        return self._known[size]

    def parts(self, sizes: Sequence[int], group_size: int) -> list[_Part]:
        """What follows each stage of these sizes."""
        parts: list[_Part] = []
        for start, end in zip(sizes, [*sizes[1:], group_size], strict=True):
            alike, found_mixed = self.share(start), self.share(start) - self.share(end)
            cost = alike * (end - start) + found_mixed * (group_size - end)
            signal = max(self.signal(start) - self.signal(end), 0.0)
            parts.append(_Part(cost, signal))
        return parts


def pooled(parts: Iterable[_Part]) -> list[_Part]:
    """Neighbours taken together until each has less signal for its cost than the one before."""
    pools: list[_Part] = []
    for part in parts:
        pools.append(part)
        while len(pools) > 1 and _is_better(pools[-1], pools[-2]):
            one, other = pools.pop(), pools.pop()
            cost, signal = one.cost + other.cost, one.signal + other.signal
            pools.append(_Part(cost, signal, one.length + other.length))
    return pools


def _is_better(one: _Part, other: _Part) -> bool:
    return one.signal * other.cost > other.signal * one.cost


def _chance(part: _Part, price: float) -> float:
    if part.cost <= 0:
        return 1.0
    return min(max(math.sqrt(part.signal / (price * part.cost)), LEAST_CHANCE), 1.0)


def _by_stage(pools: Iterable[_Part], price: float) -> list[float]:
    """The chance of passing each stage, from that of reaching each part."""
    chances: list[float] = []
    before = 1.0
    for pool in pools:
        reached = min(_chance(pool, price), before)
        chances += [reached / before, *[1.0] * (pool.length - 1)]
        before = reached
    return chances


def _passed(chances: Iterable[float]) -> list[float]:
    """The chance of passing all stages up to each."""
    passed: list[float] = []
    for chance in chances:
        passed.append(chance * (passed[-1] if passed else 1.0))
    return passed


# ---- the tasks of a step -------------------------------------------------------------------------
def best_probes(
    tasks: Sequence[BetaPrompts | None], counts: Sequence[float], group_size: int
) -> list[Probe]:
    """Each task's probe; whole groups where they are small or probes do not save enough.

    Args:
        tasks: What is known of each; None where that is nothing: its groups are whole.
        counts: Groups asked of each.
        group_size: G.
    """
    known = [k for k, prompts in enumerate(tasks) if prompts is not None]
    probes = [Probe.whole(group_size)] * len(tasks)
    if group_size < LEAST_GROUP or not known:
        return probes

    choices = [ProbeChoice(prompts) for prompts in tasks if prompts is not None]
    asked = [counts[k] for k in known]

    inner = [size for size in SIZES if size < group_size]
    one, two = (_best_plan(choices, asked, combinations(inner, n)) for n in (1, 2))
    best = two if two.gain_over(one) >= LEAST_GAIN else one

    whole = sum(counts) - sum(asked)
    if sum(counts) < LEAST_SAVING * (whole + best.needed) or not best.needed:
        return probes
    for k, probe in zip(known, best.probes, strict=True):
        probes[k] = probe
    return probes


class _Plan(NamedTuple):
    """Probes of the same sizes.

    Attributes:
        probes: One a task.
        each: What each task needs for the variance of its whole groups, in such groups.
        is_whole: Whether all of its groups are completed.
    """

    probes: list[Probe]
    each: list[float]
    is_whole: list[bool]

    @property
    def needed(self) -> float:
        """What all tasks need together."""
        return sum(self.each)

    def gain_over(self, other: _Plan) -> float:
        """How many times less it needs, in the tasks of which not all groups are completed."""
        here, there = 0.0, 0.0
        for k, needed in enumerate(self.each):
            if not (self.is_whole[k] and other.is_whole[k]):
                here, there = here + needed, there + other.each[k]
        return there / here if here > 0 else 1.0


def _best_plan(
    choices: Sequence[ProbeChoice],
    counts: Sequence[float],
    candidates: Iterable[Sequence[int]],
) -> _Plan:
    """The best stages among those of these sizes.

    Args:
        choices: One a task.
        counts: Groups asked of each.
        candidates: Sizes of stages.
    """
    plans: list[_Plan] = []
    for sizes in candidates:
        found = [choice.worthwhile(sizes) for choice in choices]
        probes = [probe for probe, _ in found]
        each = [n / saving for n, (_, saving) in zip(counts, found, strict=True)]
        plans.append(_Plan(probes, each, [probe.completes_all for probe in probes]))
    return min(plans, key=lambda plan: plan.needed)

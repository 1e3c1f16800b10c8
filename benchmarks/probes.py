"""Probes of large groups: what they save, by formula and in the simulator.

    python benchmarks/probes.py          # some minutes; writes probes.json beside this

A probe is the first n0 of a prompt's G completions. Mixed ones are completed to G always, constant ones
with probability q, and then count 1/q in the gradient: unbiased, and hard prompts stay in. J is the
mean of the first n0. The library's `auto` has a chance for all-wrong and another for all-right groups,
and a second stage where that pays for its call (mtgrpo.core.probes). Figures, all against whole groups:

* `formula`: rollouts per informative group, [n0 + (G - n0)(A + (1 - A) q)] / [A + q (a_G - A)], with
  A = P(mixed in n0) and a_G = P(mixed in G). It counts groups and takes no notice of their weights.
* `at_equal_variance`: rollouts for the same variance of the gradient: cost of a prompt times the second
  moment of its weighted signal. Groups that probes miss have few minority answers, so their signal is
  small, but 1/q makes it large: this is what a saving is worth where noise matters.
* `auto`: what the library chooses of one stage and of two, by a Beta distribution of the same mean and
  acceptance, and its saving at equal variance for the quantiles here.
* `runs`: `grpo_fair` with the toy policy, G = 72 and 32 on prompts of the paper's shape. Its drift
  hardly depends on noise, so it shows the saving where noise does not matter. `calls_per_step`: calls
  of generation that TRL would need, one for each stage and size of a part.

Difficulties are either Beta-distributed, fitted to an acceptance rate and a mean accuracy, or those of
the simulator's three tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtgrpo.core import probe_choice
from mtgrpo.core.beta_prompts import BetaPrompts
from mtgrpo.core.types import Floats, Group
from mtgrpo.simulation import World, loop, simulate
from mtgrpo.simulation.policy import log_choose

RECORD = Path(__file__).with_suffix(".json")
SIZES, PROBES = (8, 16, 32, 72), (2, 4, 6, 8, 12, 16, 24, 36)
CHANCES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# Acceptance at G = 72 of tasks like the paper's, and their mean accuracies.
BETAS = {"a = .12": (0.12, 0.06), "a = .35": (0.35, 0.2), "a = .67": (0.67, 0.5)}
SEEDS, STEPS, BATCH = range(3), 240, 32
KINDS: dict[str, str | dict[str, float] | None] = {
    "whole groups": None,
    "auto": "auto",
    "auto, one stage": "auto",
    "n0 = 8, q = 1/8": {"size": 8, "chance": 1 / 8},
    "n0 = 12, q = 1/4": {"size": 12, "chance": 1 / 4},
}


class Probe(NamedTuple):
    """How many completions a prompt has first, and how often constant ones are completed."""

    size: int
    chance: float


# ---- by formula ----------------------------------------------------------------------------------
def binomial(size: int, rates: Floats) -> Floats:
    """P(c of `size` right), shape (prompts, size + 1)."""
    counts = np.arange(size + 1)
    p = np.clip(rates, 1e-12, 1 - 1e-12)[:, None]
    logs = log_choose(size) + counts * np.log(p) + (size - counts) * np.log1p(-p)
    return np.exp(logs)


def savings(rates: Floats, group_size: int, probe: Probe) -> dict[str, float]:
    """By both measures, for prompts of these pass rates; advantages are scaled to unit deviation."""
    first, rest = binomial(probe.size, rates), binomial(group_size - probe.size, rates)
    whole = binomial(group_size, rates)
    counts = np.arange(group_size + 1)
    # Squared mean over completions of advantage times right: the group's own p (1 - p).
    squares = counts / group_size * (1 - counts / group_size)

    mixed = float(1 - (first[:, 0] + first[:, -1]).mean())
    mixed_whole = float(1 - (whole[:, 0] + whole[:, -1]).mean())
    tail = np.arange(group_size - probe.size + 1)
    missed = first[:, 0] * (rest @ squares[tail]) + first[:, -1] * (
        rest @ squares[tail + probe.size]
    )

    every, constant = float((whole @ squares).mean()), float(missed.mean())
    completed = mixed + (1 - mixed) * probe.chance
    cost = probe.size + (group_size - probe.size) * completed
    informative = mixed + probe.chance * (mixed_whole - mixed)
    variance = (every - constant + constant / probe.chance) / every
    return {
        "formula": (group_size / mixed_whole) / (cost / informative),
        "at_equal_variance": group_size / (cost * variance),
        "cost": cost / group_size,
        "variance": variance,
    }


def best(rates: Floats, group_size: int) -> tuple[Probe, dict[str, float]]:
    """The probe that saves most at equal variance."""
    tried = [Probe(n, q) for n in PROBES if n < group_size for q in CHANCES]
    figures = {probe: savings(rates, group_size, probe) for probe in tried}
    chosen = max(tried, key=lambda probe: figures[probe]["at_equal_variance"])
    return chosen, figures[chosen]


def beta_quantiles(acceptance: float, mean: float) -> Floats:
    """Pass rates of 400 prompts, Beta-distributed with that mean and acceptance at G = 72."""
    low, high = 1e-3, 1e3  # alpha + beta; more of it means more alike, and more accepted
    grid = 1 / (1 + np.exp(-np.linspace(-30, 30, 60_001)))  # dense at both ends
    for _ in range(60):
        middle = math.sqrt(low * high)
        rates = _quantiles(grid, mean * middle, (1 - mean) * middle)
        accepted = 1 - (rates**72 + (1 - rates) ** 72).mean()
        low, high = (middle, high) if accepted < acceptance else (low, middle)
    return rates


def _quantiles(grid: Floats, alpha: float, beta: float) -> Floats:
    # In the logit of p the density is p^alpha (1 - p)^beta.
    density = np.exp(alpha * np.log(grid) + beta * np.log1p(-grid))
    cumulated = np.cumsum(density)
    return np.interp((np.arange(400) + 0.5) / 400, cumulated / cumulated[-1], grid)


# ---- what the library chooses --------------------------------------------------------------------
class QuantilePrompts(BetaPrompts):
    """Groups of prompts of these pass rates."""

    def __init__(self, rates: Floats, group_size: int) -> None:
        self.rates, self.group_size = rates, group_size
        counts = np.arange(group_size + 1)
        self.squares = counts / group_size * (1 - counts / group_size)

    def share_wrong(self, size: int) -> float:
        return float(((1 - self.rates) ** size).mean())

    def share_right(self, size: int) -> float:
        return float((self.rates**size).mean())

    def signal(self) -> float:
        return float((binomial(self.group_size, self.rates) @ self.squares).mean())

    def signal_after_wrong(self, size: int) -> float:
        return self._signal_with((1 - self.rates) ** size, size, 0)

    def signal_after_right(self, size: int) -> float:
        return self._signal_with(self.rates**size, size, size)

    def _signal_with(self, chances: Floats, size: int, right: int) -> float:
        rest = binomial(self.group_size - size, self.rates)
        more = np.arange(self.group_size - size + 1)
        return float((chances * (rest @ self.squares[more + right])).mean())


def chosen(rates: Floats, group_size: int) -> dict[str, Any]:
    """The library's best probes of one and of two stages, and what they save here."""
    prompts = QuantilePrompts(rates, group_size)
    fitted = BetaPrompts(float(rates.mean()), prompts.share_mixed(group_size), group_size)
    choice, truth = probe_choice.ProbeChoice(fitted), probe_choice.ProbeChoice(prompts)
    sizes = [size for size in probe_choice.SIZES if size < group_size]

    rows: dict[str, Any] = {}
    for count in (1, 2):
        probes = [choice.with_sizes(own) for own in combinations(sizes, count)]
        if probes:
            probe = max(probes, key=lambda probe: choice.value(probe).saving)
            stages = [[round(float(value), 2) for value in stage] for stage in probe.stages]
            saving = round(truth.value(probe).saving, 2)
            rows[f"{count} stage{'s' * (count > 1)}"] = {
                "size, if wrong, if right": stages,
                "at_equal_variance": saving,
            }
    return rows


# ---- in the simulator ----------------------------------------------------------------------------
def runs(group_size: int) -> dict[str, Any]:
    """With each kind of probes: rollouts a step, those of whole groups over them, accuracies."""
    rows: dict[str, Any] = {}
    for name, probes in KINDS.items():
        with least_gain(math.inf if name == "auto, one stage" else None), counted_calls() as calls:
            each = [
                simulate(
                    World.three_tasks(),
                    "grpo_fair",
                    steps=STEPS,
                    batch_size=BATCH,
                    group_size=group_size,
                    seed=seed,
                    sampler={"probes": probes},
                )
                for seed in SEEDS
            ]
        per_step = float(np.mean([run.rollouts[-1] for run in each])) / STEPS
        rows[name] = {
            "rollouts_per_step": round(per_step),
            "times_fewer": round(BATCH * group_size / per_step, 2),
            "calls_per_step": round(float(np.mean(calls)), 2) if calls else 1,
            "worst_at_the_end": round(
                100 * float(np.mean([r.worst_accuracy[-1] for r in each])), 1
            ),
            "mean_at_the_end": round(100 * float(np.mean([r.mean_accuracy[-1] for r in each])), 1),
        }
    return rows


@contextmanager
def least_gain(value: float | None) -> Iterator[None]:
    """While a second stage has to save so many times what one does; None: the library's."""
    before = probe_choice.LEAST_GAIN
    probe_choice.LEAST_GAIN = before if value is None else value
    try:
        yield
    finally:
        probe_choice.LEAST_GAIN = before


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """While steps are drawn: the calls of generation of each, with probes."""
    calls: list[int] = []
    draw = loop.draw_in_parts

    def counting(policy: Any, request: Any, probes: Any) -> list[Group]:
        groups = draw(policy, request, probes)
        all_sizes = [probe.sizes(policy.group_size) for probe in probes.chosen.values()]
        calls.append(len(parts(all_sizes)))
        return groups

    loop.draw_in_parts = counting
    try:
        yield calls
    finally:
        loop.draw_in_parts = draw


def parts(all_sizes: Sequence[Sequence[int]]) -> set[tuple[int, int]]:
    """The parts of the tasks' groups that cannot be generated together: stage and size."""
    found: set[tuple[int, int]] = set()
    for sizes in all_sizes:
        found |= {
            (stage, after - before) for stage, (before, after) in enumerate(pairwise([0, *sizes]))
        }
    return found


def main() -> None:
    world = World.three_tasks()
    start, _ = world.pass_rates(world.array("skill"))
    tasks = {name: beta_quantiles(*fit) for name, fit in BETAS.items()}
    tasks |= {name: start[k] for k, name in enumerate(world.names)}

    by_formula: dict[str, Any] = {}
    for name, rates in tasks.items():
        by_formula[name] = {}
        for size in SIZES:
            probe, figures = best(rates, size)
            eighth = savings(rates, size, Probe(max(2, size // 9), 1 / 8))
            by_formula[name][f"G = {size}"] = {
                "best": {"n0": probe.size, "q": probe.chance, **_rounded(figures)},
                "n0 = G / 9, q = 1/8": _rounded(eighth),
                "auto": chosen(rates, size),
            }

    record = {
        "seeds": len(SEEDS),
        "steps": STEPS,
        "by_formula": by_formula,
        "runs": {f"G = {size}": runs(size) for size in (72, 32)},
    }
    print(json.dumps(record, indent=1))
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    main()

"""Probes of large groups: what they could save, by formula and in the simulator. Not in the library.

    python benchmarks/probes.py          # some minutes; writes probes.json beside this

A probe is the first n0 of a prompt's G completions. Mixed ones are completed to G always, constant ones
with probability q, and then count 1/q in the gradient: unbiased, and hard prompts stay in. J is the
mean of the first n0. Figures, all against whole groups:

* `formula`: rollouts per informative group, [n0 + (G - n0)(A + (1 - A) q)] / [A + q (a_G - A)], with
  A = P(mixed in n0) and a_G = P(mixed in G). It counts groups and takes no notice of their weights.
* `at_equal_variance`: rollouts for the same variance of the gradient: cost of a prompt times the second
  moment of its weighted signal. Groups that probes miss have few minority answers, so their signal is
  small, but 1/q makes it large: this is what a saving is worth where noise matters.
* `runs`: the toy policy, G = 72 on prompts of the paper's shape, steps of one round. Its drift hardly
  depends on noise, so it shows the saving where noise does not matter.

Difficulties are either Beta-distributed, fitted to an acceptance rate and a mean accuracy, or those of
the simulator's three tasks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtgrpo import presets
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.types import Draw, Floats, Group
from mtgrpo.simulation import World
from mtgrpo.simulation.policy import ToyPolicy, log_choose

RECORD = Path(__file__).with_suffix(".json")
SIZES, PROBES = (8, 16, 32, 72), (2, 4, 6, 8, 12, 16, 24, 36)
CHANCES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# Acceptance at G = 72 of tasks like the paper's, and their mean accuracies.
BETAS = {"a = .12": (0.12, 0.06), "a = .35": (0.35, 0.2), "a = .67": (0.67, 0.5)}
SEEDS, STEPS, BATCH, GROUP = range(3), 240, 32, 72


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


# ---- in the simulator ----------------------------------------------------------------------------
class Probed(ToyPolicy):
    """The toy policy with probes: counts completions, and weighs groups by repeating them."""

    def __init__(self, probes: Mapping[str, Probe] | None, seed: int) -> None:
        super().__init__(World.three_tasks(), GROUP, np.random.default_rng([seed, 1]))
        self.probes = probes
        self.num_rollouts = 0

    def groups(self, request: Mapping[str, int]) -> tuple[list[Group], list[Group]]:
        """What the mixer is told, and what is trained on: each group as often as it counts."""
        told, trained = list[Group](), list[Group]()
        for name, count in request.items():
            k = self._index[name]
            rates = self._pass_rates[k, self._rng.integers(self._pass_rates.shape[1], size=count)]
            probe = Probe(GROUP, 1.0) if self.probes is None else self.probes[name]

            for p in rates:
                right = int(self._rng.binomial(probe.size, p))
                draw = Draw(0, math.inf, right / probe.size)  # J is that of the probe
                is_mixed = 0 < right < probe.size
                if not is_mixed and self._rng.random() >= probe.chance:
                    self.num_rollouts += probe.size
                    rewards = (float(right > 0),) * probe.size
                    told.append(Group.verified(name, rewards, draw=draw))
                    continue

                self.num_rollouts += GROUP
                right += int(self._rng.binomial(GROUP - probe.size, p))
                formed = int(self._rng.binomial(GROUP - right, self._formatted[k]))
                group = self._make(k, right * (GROUP + 1) + formed, draw)
                told.append(group)
                if 0 < right < GROUP:
                    trained += [group] * (1 if is_mixed else round(1 / probe.chance))
        return told, trained


def train(probes: Mapping[str, Probe] | None, seed: int) -> dict[str, Floats]:
    """Worst accuracy and rollouts after each step, shape (steps + 1,) each."""
    method = presets.get("balanced", sampler={"rounds": "one"})
    policy = Probed(probes, seed)
    mixer = method.make_mixer(policy.world.names, batch_size=BATCH, seed=seed)

    worst, rollouts = [float(policy.accuracy().min())], [0]
    for _ in range(STEPS):
        batch = mixer.new_batch()
        told, trained = policy.groups(batch.ask())
        batch.tell(told)
        batch.ask()

        counts = dict.fromkeys(policy.world.names, 0)
        for group in trained:
            counts[group.task] += 1
        targets = {name: batch.loss_targets[name] if counts[name] else 0.0 for name in counts}
        factors = balance_loss(targets, counts, counts).factors
        policy.learn(trained, 4, "mean", factors, max(0, BATCH - len(trained)))

        mixer.update({})
        worst.append(float(policy.accuracy().min()))
        rollouts.append(policy.num_rollouts)
    return {"worst": np.array(worst), "rollouts": np.array(rollouts, dtype=float)}


def compare(runs: Mapping[str, list[dict[str, Floats]]]) -> dict[str, Any]:
    """Rollouts a step, and rollouts to the worst accuracy that all runs reached."""
    reached = min(run["worst"].max() for each in runs.values() for run in each)
    rows: dict[str, Any] = {"reached": round(100 * float(reached), 1), "kinds": {}}
    for name, each in runs.items():
        used = [run["rollouts"][int(np.argmax(run["worst"] >= reached))] for run in each]
        rows["kinds"][name] = {
            "rollouts_per_step": round(float(np.mean([r["rollouts"][-1] for r in each])) / STEPS),
            "worst_at_the_end": round(100 * float(np.mean([r["worst"][-1] for r in each])), 1),
            "rollouts_to_reached": round(float(np.mean(used))),
        }
    return rows


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
            }

    chosen = {name: best(start[k], GROUP)[0] for k, name in enumerate(world.names)}
    kinds: dict[str, Mapping[str, Probe] | None] = {
        "whole groups": None,
        "n0 = 8, q = 1/8": dict.fromkeys(world.names, Probe(8, 1 / 8)),
        "n0 = 12, q = 1/4": dict.fromkeys(world.names, Probe(12, 1 / 4)),
        "best at equal variance": chosen,
    }
    runs = {name: [train(probes, seed) for seed in SEEDS] for name, probes in kinds.items()}

    record = {"seeds": len(SEEDS), "steps": STEPS, "by_formula": by_formula, "runs": compare(runs)}
    print(json.dumps(record, indent=1))
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    main()

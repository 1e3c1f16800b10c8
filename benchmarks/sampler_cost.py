"""What a batch costs: groups per step by every sampler, on fixed acceptance rates. No model.

    python benchmarks/sampler_cost.py            # about a minute; writes sampler_cost.json

Weights are uniform; three tasks with 32 groups, nine tasks with the paper's 256. How much can be
saved depends on the rates, so there are three mixtures of nine: those measured on the nine embedded
tasks (mean over the GRPO runs of the nine-task study), rates spread evenly over .2 to .95, and a
hard one with four tasks at .2 or below. No sampler can use fewer than B / K * sum(1 / a_k) groups,
which the record gives as `least_possible_groups`. A step's quotas are *met* when each task is
trained on exactly its quota of groups.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo import presets
from mtgrpo.core.types import Floats, Group
from mtgrpo.core.weightings import Uniform

RECORD = Path(__file__).with_suffix(".json")
SEEDS, STEPS = range(5), 200
# countdown, zebra, arc: easy to hard
EMBEDDED = (0.71, 0.68, 0.54, 0.70, 0.76, 0.78, 0.54, 0.45, 0.50)
EVEN = tuple(round(float(a), 3) for a in np.linspace(0.2, 0.95, 9))
HARD = (0.55, 0.35, 0.2, 0.95, 0.9, 0.85, 0.2, 0.16, 0.12)
SETTINGS: dict[str, tuple[tuple[float, ...], int, str]] = {
    "three tasks, a = .12 .35 .67, B = 32": ((0.12, 0.35, 0.67), 32, "three_tasks"),
    "three tasks, a = .25 .5 .88, B = 32": ((0.25, 0.5, 0.88), 32, "three_tasks"),
    "nine tasks, embedded, B = 256": (EMBEDDED, 256, "nine_tasks"),
    "nine tasks, a = .2 to .95, B = 256": (EVEN, 256, "nine_tasks"),
    "nine tasks, hard, B = 256": (HARD, 256, "nine_tasks"),
}
SAMPLERS = {
    "dapo": ("dapo", "paper"),
    "paper": ("grpo_rps", "paper"),
    "released": ("grpo_rps", "released"),
    "default": ("grpo_rps", "default"),
    "balanced": ("balanced", "default"),
}
MIXED, WRONG, RIGHT = (0.0, 1.0), (0.0, 0.0), (1.0, 1.0)


FIGURES = ("groups_generated", "rounds", "shares_met", "groups_banked")


def one_run(
    preset: str, variant: str, rates: tuple[float, ...], batch_size: int, setting: str, seed: int
) -> Floats:
    """Per step: groups generated, rounds, quotas met or not, stale groups; shape (steps, 4)."""
    names = [f"task-{k}" for k in range(len(rates))]
    method = replace(presets.get(preset, variant=variant, setting=setting), weighting=Uniform())
    mixer = method.make_mixer(names, batch_size=batch_size, seed=seed)
    engine = Engine(dict(zip(names, rates, strict=True)), np.random.default_rng([seed, 1]))

    rows: list[list[float]] = []
    for _ in range(STEPS):
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell(engine.groups(request))

        mixer.update()
        metrics = mixer.metrics()
        rows.append([metrics[f"sampler/{name}"] for name in FIGURES])

    return np.array(rows)


class Engine:
    """Makes groups that are informative with a fixed probability."""

    def __init__(self, rates: Mapping[str, float], rng: np.random.Generator) -> None:
        self.rates = rates
        self.rng = rng
        self._shared: dict[tuple[str, tuple[float, ...]], Group] = {}
        for name in rates:
            for rewards in (MIXED, WRONG, RIGHT):
                self._shared[name, rewards] = Group.verified(name, rewards)

    def groups(self, request: Mapping[str, int]) -> list[Group]:
        """So many of each task, in a random order over all."""
        groups: list[Group] = []
        for name, count in request.items():
            for is_informative in self.rng.random(count) < self.rates[name]:
                rewards = MIXED if is_informative else (WRONG, RIGHT)[self.rng.integers(2)]
                groups.append(self._shared[name, rewards])

        return [groups[i] for i in self.rng.permutation(len(groups))]


def main() -> None:
    record: dict[str, Any] = {
        "what": "means over steps and seeds; ratio: groups against `released`, with its spread "
        "over seeds",
        "seeds": len(SEEDS),
        "steps": STEPS,
        "settings": {},
    }

    for title, (rates, batch_size, setting) in SETTINGS.items():
        runs: dict[str, Floats] = {}  # (seeds, 4) each
        for name, (preset, variant) in SAMPLERS.items():
            means = [
                one_run(preset, variant, rates, batch_size, setting, seed).mean(0) for seed in SEEDS
            ]
            runs[name] = np.array(means)

        rows: dict[str, Any] = {}
        for name, of_seeds in runs.items():
            rows[name] = row(of_seeds, runs["released"], batch_size)
            print(f"{title:38} {name:10}", *(f"{key}={value}" for key, value in rows[name].items()))

        least = batch_size * float(np.mean(1 / np.array(rates)))
        record["settings"][title] = {
            "rates": rates,
            "least_possible_groups": round(least, 1),
            "samplers": rows,
        }

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def row(runs: Floats, released: Floats, batch_size: int) -> dict[str, Any]:
    """What a sampler costs, against `released`; shape (seeds, 4) each."""
    ratio = runs[:, 0] / released[:, 0]
    groups, rounds, met, banked = runs.mean(0).tolist()

    return {
        "groups_per_step": round(groups, 1),
        "ratio_to_released": round(float(ratio.mean()), 3),
        "ratio_spread": [round(float(ratio.min()), 3), round(float(ratio.max()), 3)],
        "rounds_per_step": round(rounds, 2),
        "quotas_met_rate": round(met, 3),
        "stale_share": round(banked / batch_size, 3),
    }


if __name__ == "__main__":
    main()

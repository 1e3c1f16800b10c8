"""What a batch costs: groups generated per step by every sampler, on fixed acceptance rates. No model is involved.

    python benchmarks/sampler_cost.py            # about a minute; writes sampler_cost.json beside this file

Weights are uniform; three tasks with 32 groups, nine tasks with the paper's 256. How much can be saved depends on the
rates, so there are three mixtures of nine: those measured on the nine embedded tasks (mean over the GRPO runs of the
nine-task study), rates spread evenly over .2 to .95, and a hard one with four tasks at .2 or below. No sampler can use
fewer than B / K * sum(1 / a_k) groups, which the record gives as `least_possible_groups`. A step's quotas are *met*
when each task is trained on exactly as many groups as its quota says.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo import presets
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Uniform

RECORD = Path(__file__).with_suffix(".json")
SEEDS, STEPS = range(5), 200
EMBEDDED = (
    0.71,
    0.68,
    0.54,
    0.70,
    0.76,
    0.78,
    0.54,
    0.45,
    0.50,
)  # countdown, zebra, arc: easy to hard
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


def one_run(
    preset: str, variant: str, rates: tuple[float, ...], batch_size: int, setting: str, seed: int
) -> Any:
    """Per step: groups generated, rounds, whether the quotas were met, stale groups trained on."""
    names = [f"task-{k}" for k in range(len(rates))]
    method = replace(presets.get(preset, variant=variant, setting=setting), weighting=Uniform())
    mixer = method.make_mixer(names, batch_size=batch_size, seed=seed)
    rng, of = np.random.default_rng([seed, 1]), dict(zip(names, rates, strict=True))
    shared = {(name, r): Group.verified(name, r) for name in names for r in (MIXED, WRONG, RIGHT)}
    rows: list[tuple[float, ...]] = []

    for _ in range(STEPS):
        batch = mixer.new_batch()
        while request := batch.ask():
            groups: list[Group] = []

            for name, count in request.items():
                informative = rng.random(count) < of[name]
                groups += [
                    shared[name, MIXED if i else (WRONG, RIGHT)[rng.integers(2)]]
                    for i in informative
                ]

            order = rng.permutation(len(groups))
            batch.tell([groups[i] for i in order])

        mixer.update()
        found = mixer.metrics()
        rows.append(
            tuple(
                found[f"sampler/{key}"]
                for key in ("groups_generated", "rounds", "shares_met", "groups_banked")
            )
        )

    return np.array(rows)


def main() -> None:
    record: dict[str, Any] = {
        "what": "means over steps and seeds; ratio: groups against `released`, with its spread over seeds",
        "seeds": len(SEEDS),
        "steps": STEPS,
        "settings": {},
    }

    for title, (rates, batch_size, setting) in SETTINGS.items():
        runs = {
            name: np.array(
                [one_run(*which, rates, batch_size, setting, seed).mean(0) for seed in SEEDS]
            )
            for name, which in SAMPLERS.items()
        }

        rows: dict[str, Any] = {}

        for name, found in runs.items():
            ratio = found[:, 0] / runs["released"][:, 0]
            groups, rounds, met, banked = found.mean(0).tolist()

            rows[name] = {
                "groups_per_step": round(groups, 1),
                "ratio_to_released": round(float(ratio.mean()), 3),
                "ratio_spread": [round(float(ratio.min()), 3), round(float(ratio.max()), 3)],
                "rounds_per_step": round(rounds, 2),
                "quotas_met_rate": round(met, 3),
                "stale_share": round(banked / batch_size, 3),
            }

            print(f"{title:38} {name:10}", *(f"{key}={value}" for key, value in rows[name].items()))

        least = batch_size * float(np.mean(1 / np.array(rates)))

        record["settings"][title] = {
            "rates": rates,
            "least_possible_groups": round(least, 1),
            "samplers": rows,
        }

    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

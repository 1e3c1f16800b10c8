"""Shares that follow the weights over steps against shares that are exact in each: core alone.

    python benchmarks/share_kinds.py        # half a minute; writes share_kinds.json beside this

Groups are informative by chance, at fixed rates and weights. `equal_groups` is what a step's informative
groups weigh as, as a part of their number (harmonic means over steps of one over the sum of squared
shares, and of the number), and `shares` are each task's mean share of the loss.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo import Fixed, Group, TaskMixer
from mtgrpo.core.one_round import SHARES, OneRoundSampler

NUM_STEPS = 800
NINE = [f"task {k}" for k in range(9)]
SETTINGS: tuple[tuple[dict[str, float], dict[str, float], int], ...] = (
    ({"a": 0.7, "b": 0.5, "c": 0.2}, {"a": 0.5, "b": 0.3, "c": 0.2}, 8),
    ({"a": 0.7, "b": 0.5, "c": 0.2}, {"a": 0.5, "b": 0.3, "c": 0.2}, 16),
    ({"a": 0.6, "b": 0.8, "c": 0.95}, {"a": 0.45, "b": 0.35, "c": 0.2}, 8),
    ({"a": 0.05, "b": 0.5, "c": 0.9}, {"a": 0.5, "b": 0.3, "c": 0.2}, 16),
    (dict.fromkeys(NINE, 0.5), {name: 0.2 if name == NINE[0] else 0.1 for name in NINE}, 12),
)


def measure(
    rates: dict[str, float], weights: dict[str, float], batch_size: int, shares: str
) -> dict[str, Any]:
    """Of one kind of shares in one setting."""
    mixer = TaskMixer(
        list(rates),
        batch_size=batch_size,
        weighting=Fixed(weights),
        sampler=OneRoundSampler(shares=shares),
        seed=0,
    )
    rng, number = np.random.default_rng(0), 0
    sums = dict.fromkeys(rates, 0.0)
    squares, counts = list[float](), list[float]()

    for _ in range(NUM_STEPS):
        batch = mixer.new_batch()
        for task, count in batch.ask().items():
            for is_mixed in rng.random(count) < rates[task]:
                rewards = [1.0, 0.0] if is_mixed else [0.0, 0.0]
                batch.tell([Group.verified(task, rewards, uid=str(number))])
                number += 1
        batch.ask()

        informative, had = batch.counts.num_informative, batch.loss_shares or {}
        if any(had.values()):
            squares.append(sum(share**2 / informative[k] for k, share in had.items() if share))
            counts.append(1 / sum(informative.values()))
            for task, share in had.items():
                sums[task] += share
        mixer.update()

    total = sum(sums.values())
    return {
        "equal_groups": round(float(np.mean(counts) / np.mean(squares)), 3),
        "shares": {task: round(share / total, 3) for task, share in sums.items()},
    }


def main() -> None:
    lines: list[dict[str, Any]] = []
    for rates, weights, batch_size in SETTINGS:
        kinds = {kind: measure(rates, weights, batch_size, kind) for kind in SHARES}
        lines.append({"rates": rates, "weights": weights, "batch_size": batch_size, **kinds})
        print(list(rates.values()), batch_size, kinds)

    text = json.dumps({"num_steps": NUM_STEPS, "settings": lines}, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

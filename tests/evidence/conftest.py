"""Studies made of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

NUM_SAMPLES = 2


def record(method: str, seed: int, accuracies: Sequence[Any], rollouts: Sequence[int]) -> dict[str, Any]:
    """A run's record; `accuracies` has an array (tasks, prompts) of right samples per evaluation."""
    evaluations = []
    for i, counts in enumerate(accuracies):
        rows = np.asarray(counts)
        names = [f"t{k}-easy" if k else "t0-hard" for k in range(len(rows))]
        evaluations.append(
            {
                "step": 10 * i,
                "rollouts": rollouts[i],
                "elapsed_s": 5.0 * i,
                "accuracy": {n: float(row.mean()) / NUM_SAMPLES for n, row in zip(names, rows, strict=True)},
                "prompts": {n: "".join(map(str, row.tolist())) for n, row in zip(names, rows, strict=True)},
            }
        )
    names = list(evaluations[0]["accuracy"])
    series: dict[str, list[float | None]] = {"step": [5, 10], "sampler/groups_generated": [8, 10]}
    series |= {"sampler/rounds": [1, 2], "sampler/shortfall": [0, 0]}
    for name in names:
        series |= {f"task/{name}/weight": [0.5, 0.4], f"task/{name}/realized_ratio": [0.5, 0.5]}
        series |= {f"task/{name}/target_ratio": [0.5, 0.5], f"task/{name}/acceptance_rate": [None, 0.25]}
    return {"method": method, "seed": seed, "shares_met_rate": 1.0, "evaluations": evaluations, "series": series}


def study(runs: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What `mtgrpo study --results` would have written."""
    methods: dict[str, Any] = {run["method"]: {"preset": run["method"]} for run in runs}
    head = {"experiment": "made_up", "baseline": "dapo", "thresholds": [0.5], "base": {}, "methods": methods}
    return {**head, "num_samples": NUM_SAMPLES, "runs": runs, **changes}


@pytest.fixture
def noisy() -> Callable[..., dict[str, Any]]:
    """Makes a study of two methods, whose accuracy per task is given, with seeds and prompts that vary."""

    def make(dapo: Sequence[float], other: Sequence[float], rng: int = 0, seeds: int = 4, prompts: int = 60) -> Any:
        generator = np.random.default_rng(rng)
        hardness = [generator.normal(0, 0.15, prompts) for _ in dapo]
        runs = []
        for method, rates in (("dapo", dapo), ("mt_grpo", other)):
            for seed in range(seeds):
                drift = generator.normal(0, 0.02)
                end = [
                    generator.binomial(NUM_SAMPLES, np.clip(rate + drift + hard, 0, 1))
                    for rate, hard in zip(rates, hardness, strict=True)
                ]
                start = [generator.binomial(NUM_SAMPLES, np.clip(0.2 + hard, 0, 1)) for hard in hardness]
                runs.append(record(method, seed, [start, end], [0, 100]))
        return study(runs)

    return make

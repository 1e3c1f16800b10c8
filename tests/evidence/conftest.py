"""Studies made of numbers."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

NUM_SAMPLES = 2


def record(
    method: str, seed: int, accuracies: Sequence[Any], rollouts: Sequence[int]
) -> dict[str, Any]:
    """A run's record; `accuracies` has an array (tasks, prompts) of right samples per evaluation."""
    rows = [np.asarray(counts) for counts in accuracies]
    names = [f"t{k}-easy" if k else "t0-hard" for k in range(len(rows[0]))]
    series: dict[str, list[float | None]] = {"step": [5, 10], "sampler/groups_generated": [8, 10]}
    series |= {"sampler/rounds": [1, 2], "sampler/shortfall": [0, 0]}
    for name in names:
        series |= {f"task/{name}/weight": [0.5, 0.4], f"task/{name}/realized_ratio": [0.5, 0.5]}
        series |= {
            f"task/{name}/target_ratio": [0.5, 0.5],
            f"task/{name}/acceptance_rate": [None, 0.25],
        }
    return {
        "method": method,
        "seed": seed,
        "shares_met_rate": 1.0,
        "steps": [10 * i for i in range(len(rows))],
        "rollouts": list(rollouts),
        "seconds": [5.0 * i for i in range(len(rows))],
        "accuracy": {
            n: [float(row[k].mean()) / NUM_SAMPLES for row in rows] for k, n in enumerate(names)
        },
        "prompts": {n: pack([row[k] for row in rows]) for k, n in enumerate(names)},
        "series": series,
    }


def pack(columns: Sequence[Any]) -> str:
    """Digits of every prompt, evaluation by evaluation, as results files hold them."""
    digits = "".join(str(n) for prompt in np.array(columns).T.tolist() for n in prompt)
    return base64.b85encode(zlib.compress(digits.encode())).decode()


def study(runs: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What `mtgrpo study --results` would have written."""
    methods: dict[str, Any] = {run["method"]: {"preset": run["method"]} for run in runs}
    head = {
        "experiment": "made_up",
        "baseline": "dapo",
        "thresholds": [0.5],
        "base": {},
        "methods": methods,
    }
    return {**head, "num_samples": NUM_SAMPLES, "runs": runs, **changes}


@pytest.fixture
def noisy() -> Callable[..., dict[str, Any]]:
    """Makes a study of two methods, whose accuracy per task is given, with seeds and prompts that vary."""

    def make(
        dapo: Sequence[float],
        other: Sequence[float],
        rng: int = 0,
        seeds: int = 4,
        prompts: int = 60,
    ) -> Any:
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
                start = [
                    generator.binomial(NUM_SAMPLES, np.clip(0.2 + hard, 0, 1)) for hard in hardness
                ]
                runs.append(record(method, seed, [start, end], [0, 100]))
        return study(runs)

    return make

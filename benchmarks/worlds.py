"""Methods on random simulated worlds: every method, setting and seed, resumable; then the comparison.

    python benchmarks/worlds.py run runs/worlds.jsonl --methods baselines     # hours on one core; may be interrupted
    python benchmarks/worlds.py run runs/worlds.jsonl --methods balanced
    python benchmarks/worlds.py compare runs/worlds.jsonl          # writes worlds.json beside this file

A method is ``preset/variant`` or ``preset/variant/argument=value``. Settings are those of random_worlds.py; the runs of
one setting and seed share their randomness, so that differences are paired.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED, random_setting

from mtgrpo.simulation import SimulationResult, simulate

SEEDS = (0,)
LAMBDAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
FIXED = (
    "dapo/default", "grpo_rps/default", "worst_task/released", "mt_grpo_reg/released", "mt_grpo_reg/default",
)  # fmt: skip
METHODS = {
    "baselines": (*FIXED, *(f"mt_grpo/released/lam={lam}" for lam in LAMBDAS)),
    "default": tuple(f"mt_grpo/default/lam={lam}" for lam in LAMBDAS),
    "balanced": ("balanced/default",),
}
NUM_POINTS = 41
RECORD = Path(__file__).with_suffix(".json")


def one_run(number: int, method: str, seed: int) -> dict[str, Any]:
    """One simulated run in plain values; its curves at evenly spaced steps."""
    setting = random_setting(number)
    preset, variant, *changes = method.split("/")

    run = simulate(
        setting.world,
        preset,
        variant=variant,
        steps=setting.steps,
        batch_size=setting.batch_size,
        group_size=setting.group_size,
        seed=seed,
        weighting={key: json.loads(value) for key, value in (c.split("=") for c in changes)},
    )

    return {"setting": number, "method": method, "seed": seed, **curves(run)}


def curves(run: SimulationResult) -> dict[str, Any]:
    at = np.unique(np.linspace(0, run.steps, NUM_POINTS).astype(int))
    return {
        "accuracy": np.round(run.accuracy[-1], 4).tolist(),
        "rollouts": run.rollouts[at].tolist(),
        "worst": np.round(run.worst_accuracy[at], 4).tolist(),
        "mean": np.round(run.mean_accuracy[at], 4).tolist(),
    }


def read(path: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """All finished runs of a file, by (method, setting, seed)."""
    if not path.exists():
        return {}

    rows: Iterator[dict[str, Any]] = (
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()
    )

    return {(row["method"], row["setting"], row["seed"]): row for row in rows}


def run_all(path: Path, methods: tuple[str, ...]) -> None:
    done = read(path)

    with path.open("a", encoding="utf-8") as file:
        for method in methods:
            for number in REPORTED:
                for seed in SEEDS:
                    if (method, number, seed) not in done:
                        file.write(json.dumps(one_run(number, method, seed)) + "\n")
                        file.flush()


def compare(path: Path) -> dict[str, Any]:
    """Balanced against every method and against the best lambda of every world, over the worlds all have finished."""
    runs = read(path)
    methods = [*METHODS["balanced"], *METHODS["baselines"]]

    if set(METHODS["default"]) <= {
        method for method, _, _ in runs
    }:  # this library's own MT-GRPO, if it was run
        methods += METHODS["default"]

    numbers = [
        n
        for n in REPORTED
        if all((method, n, seed) in runs for method in methods for seed in SEEDS)
    ]

    def final(method: str, number: int) -> tuple[float, float, float]:
        found = [runs[method, number, seed] for seed in SEEDS]
        return (
            float(np.mean([row["worst"][-1] for row in found])),
            float(np.mean([row["mean"][-1] for row in found])),
            float(np.mean([row["rollouts"][-1] for row in found])),
        )

    table = {method: np.array([final(method, number) for number in numbers]) for method in methods}

    for variant in ("released", "default"):
        if f"mt_grpo/{variant}/lam={LAMBDAS[0]}" not in table:
            continue

        swept = np.array([table[f"mt_grpo/{variant}/lam={lam}"] for lam in LAMBDAS])
        best = swept[:, :, 0].argmax(axis=0)
        table[f"mt_grpo/{variant}, best lambda of each world"] = swept[
            best, np.arange(len(numbers))
        ]

    ours = table.pop("balanced/default")
    rng, rows = np.random.default_rng(0), dict[str, Any]()

    for name, other in table.items():
        difference = 100 * (ours - other)[:, 0]
        drawn = rng.choice(difference, (2000, len(difference))).mean(axis=1)

        rows[name] = {
            "worst": round(100 * float(other[:, 0].mean()), 2),
            "mean": round(100 * float(other[:, 1].mean()), 2),
            "worst_difference": round(float(difference.mean()), 2),
            "interval": [round(float(q), 2) for q in np.quantile(drawn, (0.025, 0.975))],
            "mean_difference": round(100 * float((ours - other)[:, 1].mean()), 2),
            "lower_in": int((difference < -1).sum()),
            "rollouts_ratio": round(float(np.exp(np.log(ours[:, 2] / other[:, 2]).mean())), 3),
        }

    against = "mt_grpo/released, best lambda of each world"
    levels = (0, 10, 25, 50, 75, 90, 100)
    spread = np.percentile(100 * (ours - table[against])[:, 0], levels)

    return {
        "worlds": len(numbers),
        "seeds": len(SEEDS),
        "balanced": {
            "worst": round(100 * float(ours[:, 0].mean()), 2),
            "mean": round(100 * float(ours[:, 1].mean()), 2),
        },
        "against": against,
        "quantiles": {str(q): round(float(v), 1) for q, v in zip(levels, spread, strict=True)},
        "methods": dict(sorted(rows.items(), key=lambda item: ", best" not in item[0])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["run", "compare"])
    parser.add_argument("runs", type=Path)
    parser.add_argument("output", type=Path, nargs="?")
    parser.add_argument(
        "--methods", default="balanced", help="a key of METHODS, or methods with commas"
    )

    arguments = parser.parse_args()
    if arguments.command == "run":
        run_all(
            arguments.runs, METHODS.get(arguments.methods) or tuple(arguments.methods.split(","))
        )
    else:
        record = compare(arguments.runs)
        (arguments.output or RECORD).write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()

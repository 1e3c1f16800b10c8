"""Methods on random simulated worlds: every method, setting and seed, resumable; then compared.

    python benchmarks/worlds.py run runs/worlds.jsonl --methods baselines     # hours on one core
    python benchmarks/worlds.py run runs/worlds.jsonl --methods balanced
    python benchmarks/worlds.py compare runs/worlds.jsonl          # writes worlds.json beside this

A method is ``preset/variant`` or ``preset/variant/argument=value``. Settings are those of
random_worlds.py; the runs of one setting and seed share their randomness, so that differences are
paired. Runs may be interrupted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED, random_setting

from mtgrpo.core.types import Floats
from mtgrpo.simulation import SimulationResult, simulate

SEEDS = (0,)
LAMBDAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
FIXED = (
    "dapo/default",
    "grpo_rps/default",
    "worst_task/released",
    "mt_grpo_reg/released",
    "mt_grpo_reg/default",
)
METHODS = {
    "baselines": (*FIXED, *(f"mt_grpo/released/lam={lam}" for lam in LAMBDAS)),
    "default": tuple(f"mt_grpo/default/lam={lam}" for lam in LAMBDAS),
    "balanced": ("balanced/default",),
}
BEST = "best lambda of each world"
NUM_POINTS = 41
RECORD = Path(__file__).with_suffix(".json")
Runs = dict[tuple[str, int, int], dict[str, Any]]


def one_run(number: int, method: str, seed: int) -> dict[str, Any]:
    """One simulated run in plain values; its curves at evenly spaced steps."""
    setting = random_setting(number)
    preset, variant, *changes = method.split("/")
    weighting: dict[str, Any] = {}
    for change in changes:
        argument, value = change.split("=")
        weighting[argument] = json.loads(value)

    run = simulate(
        setting.world,
        preset,
        variant=variant,
        steps=setting.steps,
        batch_size=setting.batch_size,
        group_size=setting.group_size,
        seed=seed,
        weighting=weighting,
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


def read(path: Path) -> Runs:
    """All finished runs of a file, by (method, setting, seed)."""
    if not path.exists():
        return {}

    runs: Runs = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        runs[run["method"], run["setting"], run["seed"]] = run

    return runs


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
    """Balanced against every method, over the worlds that all have finished."""
    table, num_worlds = finals(read(path))
    for variant in ("released", "default"):
        if f"mt_grpo/{variant}/lam={LAMBDAS[0]}" in table:
            swept = [table[f"mt_grpo/{variant}/lam={lam}"] for lam in LAMBDAS]
            table[f"mt_grpo/{variant}, {BEST}"] = best_of_each_world(np.array(swept))

    ours = table.pop("balanced/default")
    rng = np.random.default_rng(0)
    rows = {name: row(ours, other, rng) for name, other in table.items()}

    against = f"mt_grpo/released, {BEST}"
    levels = (0, 10, 25, 50, 75, 90, 100)
    quantiles = np.percentile(100 * (ours - table[against])[:, 0], levels)

    return {
        "worlds": num_worlds,
        "seeds": len(SEEDS),
        "balanced": {
            "worst": round(100 * float(ours[:, 0].mean()), 2),
            "mean": round(100 * float(ours[:, 1].mean()), 2),
        },
        "against": against,
        "quantiles": {str(q): round(float(v), 1) for q, v in zip(levels, quantiles, strict=True)},
        "methods": dict(sorted(rows.items(), key=lambda item: ", best" not in item[0])),
    }


def finals(runs: Runs) -> tuple[dict[str, Floats], int]:
    """By method, worst and mean accuracy and rollouts in every world that all have finished.

    Returns:
        Arrays of shape (worlds, 3), and the number of worlds.
    """
    methods = [*METHODS["balanced"], *METHODS["baselines"]]
    finished = {method for method, _, _ in runs}
    if set(METHODS["default"]) <= finished:  # this library's own MT-GRPO, if it was run
        methods += METHODS["default"]

    numbers: list[int] = []
    for number in REPORTED:
        if all((method, number, seed) in runs for method in methods for seed in SEEDS):
            numbers.append(number)

    table: dict[str, Floats] = {}
    for method in methods:
        rows: list[list[float]] = []
        for number in numbers:
            of_seeds = [runs[method, number, seed] for seed in SEEDS]
            curves = ("worst", "mean", "rollouts")
            rows.append([float(np.mean([run[name][-1] for run in of_seeds])) for name in curves])
        table[method] = np.array(rows)

    return table, len(numbers)


def best_of_each_world(swept: Floats) -> Floats:
    """In each world, the run with the highest worst-task accuracy; from (runs, worlds, 3)."""
    best = swept[:, :, 0].argmax(axis=0)
    return swept[best, np.arange(swept.shape[1])]


def row(ours: Floats, other: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Balanced against one method; shape (worlds, 3) each."""
    difference = 100 * (ours - other)[:, 0]
    drawn = rng.choice(difference, (2000, len(difference))).mean(axis=1)

    return {
        "worst": round(100 * float(other[:, 0].mean()), 2),
        "mean": round(100 * float(other[:, 1].mean()), 2),
        "worst_difference": round(float(difference.mean()), 2),
        "interval": [round(float(q), 2) for q in np.quantile(drawn, (0.025, 0.975))],
        "mean_difference": round(100 * float((ours - other)[:, 1].mean()), 2),
        "lower_in": int((difference < -1).sum()),
        "rollouts_ratio": round(float(np.exp(np.log(ours[:, 2] / other[:, 2]).mean())), 3),
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
        methods = METHODS.get(arguments.methods) or tuple(arguments.methods.split(","))
        run_all(arguments.runs, methods)
        return

    text = json.dumps(compare(arguments.runs), indent=1)
    (arguments.output or RECORD).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

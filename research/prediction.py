"""How well the simulator predicts a study: worlds fitted to its baseline's runs alone, every method simulated in them.

    python research/prediction.py three_tasks --runs runs/three_tasks

Writes research/<study>_simulated.json, which research/results.py puts into docs/results.md. Only training logs of the
baseline are fitted; no other method's run and no test prompt is looked at before the comparison.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mtgrpo.core.quotas import Floats
from mtgrpo.evidence import StudyResults, load_results
from mtgrpo.jobs.experiment import load_experiment, run_path
from mtgrpo.runlog import read_run
from mtgrpo.simulation import fit, simulate
from mtgrpo.tasks import build_tasks

HERE = Path(__file__).parent
NUM_SEEDS = 4
NUM_RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--runs", type=Path, required=True, help="directory of the study's runs")
    arguments = parser.parse_args()
    experiment = load_experiment(arguments.study)
    results = load_results(HERE / f"{arguments.study}.json")
    seeds = [run.seed for run in results.of(experiment.baseline)]
    floors = {
        task.name: task.floor for task in build_tasks(experiment.base["tasks"], arguments.study)
    }
    worlds = [
        fit(read_run(run_path(arguments.runs, experiment.baseline, seed)), floors) for seed in seeds
    ]
    methods: dict[str, list[float]] = {}
    for method in results.finished_methods:
        run = experiment.run(method, 0, Path("runs"))
        ends = [
            simulate(
                world,
                run.preset,
                variant=run.variant,
                setting=run.setting,
                weighting=experiment.methods[method].get("weighting"),
                steps=run.steps,
                batch_size=run.batch_size,
                group_size=run.group_size,
                updates_per_step=run.updates_per_step,
                seed=seed,
            )
            for world in worlds
            for seed in range(NUM_SEEDS)
        ]
        trained = results.of(method)
        methods[method] = [
            float(np.mean([end.worst_accuracy[-1] for end in ends])),
            float(np.mean([run.worst[-1] for run in trained])),
            float(np.mean([end.mean_accuracy[-1] for end in ends])),
            float(np.mean([run.mean[-1] for run in trained])),
        ]
        print(method, *(f"{100 * value:.1f}" for value in methods[method]), flush=True)
    found = {of: correlation(results, methods, of) for of in ("worst", "mean")}
    shown = "; ".join(f"{of} {v[0]:.2f} ({v[1]:.2f} to {v[2]:.2f})" for of, v in found.items())
    note = (
        f"Worlds fitted to the {len(worlds)} runs of {experiment.baseline}, {NUM_SEEDS} simulated seeds in each. "
        f"Spearman's rank correlation over the methods: {shown}. Intervals: 95 %, over resampled methods."
    )
    value = {
        "methods": {m: [round(v, 4) for v in values] for m, values in methods.items()},
        "rank_correlation": found,
    }
    path = HERE / f"{arguments.study}_simulated.json"
    path.write_text(json.dumps({**value, "note": note}, indent=1) + "\n", encoding="utf-8")
    print(note)


def correlation(results: StudyResults, methods: dict[str, list[float]], of: str) -> list[float]:
    """Spearman's rank correlation of simulated and trained accuracies, with its interval."""
    column = 0 if of == "worst" else 2
    pairs = np.array([[values[column], values[column + 1]] for values in methods.values()])
    draws = np.random.default_rng(0).integers(0, len(pairs), (NUM_RESAMPLES, len(pairs)))
    drawn = [spearman(pairs[draw]) for draw in draws]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return [round(float(v), 3) for v in (spearman(pairs), low, high)]


def spearman(pairs: Floats) -> float:
    """Pearson's correlation of the ranks; ties share their mean rank."""
    ranks = [_ranks(pairs[:, side]) for side in (0, 1)]
    if min(r.std() for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Floats) -> Floats:
    return np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values])


if __name__ == "__main__":
    main()

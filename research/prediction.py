"""How well the simulator predicts a study: every method in worlds fitted to its baseline's runs.

    python research/prediction.py three_tasks --runs runs/three_tasks

Writes research/<study>_simulated.json, which research/results.py puts into docs/results-archive.md. Only
training logs of the baseline are fitted; no other method's run and no test prompt is looked at
before the comparison.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.evidence import StudyResults, load_results
from mtgrpo.jobs.experiment import Experiment, load_experiment, run_path
from mtgrpo.runlog import read_run
from mtgrpo.simulation import SimulationResult, World, fit, simulate
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
    worlds = fitted_worlds(experiment, results, arguments.runs)

    methods: dict[str, list[float]] = {}
    for method in results.finished_methods:
        ends = simulated_ends(experiment, method, worlds)
        runs = results.of(method)
        methods[method] = [
            float(np.mean([end.worst_accuracy[-1] for end in ends])),
            float(np.mean([run.worst[-1] for run in runs])),
            float(np.mean([end.mean_accuracy[-1] for end in ends])),
            float(np.mean([run.mean[-1] for run in runs])),
        ]
        print(method, *(f"{100 * value:.1f}" for value in methods[method]), flush=True)

    correlations = {of: correlation(methods, of) for of in ("worst", "mean")}
    shown = [f"{of} {v[0]:.2f} ({v[1]:.2f} to {v[2]:.2f})" for of, v in correlations.items()]
    note = (
        f"Worlds fitted to the {len(worlds)} runs of {experiment.baseline}, {NUM_SEEDS} simulated "
        f"seeds in each. Spearman's rank correlation over the methods: {'; '.join(shown)}. "
        "Intervals: 95 %, over resampled methods."
    )

    record = {
        "methods": {m: [round(v, 4) for v in values] for m, values in methods.items()},
        "rank_correlation": correlations,
        "note": note,
    }
    path = HERE / f"{arguments.study}_simulated.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(note)


def fitted_worlds(experiment: Experiment, results: StudyResults, runs: Path) -> list[World]:
    """A world fitted to each run of the baseline."""
    tasks = build_tasks(experiment.base["tasks"], experiment.name)
    floors = {task.name: task.floor for task in tasks}

    worlds: list[World] = []
    for run in results.of(experiment.baseline):
        path = run_path(runs, experiment.baseline, run.seed)
        worlds.append(fit(read_run(path), floors))

    return worlds


def simulated_ends(
    experiment: Experiment, method: str, worlds: list[World]
) -> list[SimulationResult]:
    """A method of the study in every world, with several seeds."""
    config = experiment.run(method, 0, Path("runs"))

    ends: list[SimulationResult] = []
    for world in worlds:
        for seed in range(NUM_SEEDS):
            ends.append(
                simulate(
                    world,
                    config.preset,
                    variant=config.variant,
                    setting=config.setting,
                    weighting=experiment.methods[method].get("weighting"),
                    steps=config.steps,
                    batch_size=config.batch_size,
                    group_size=config.group_size,
                    updates_per_step=config.updates_per_step,
                    seed=seed,
                )
            )

    return ends


def correlation(methods: dict[str, list[float]], of: str) -> list[float]:
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
    ranks: list[float] = []
    for value in values:
        ties = (values == value).sum() - 1
        ranks.append((values < value).sum() + ties / 2)

    return np.array(ranks)


if __name__ == "__main__":
    main()

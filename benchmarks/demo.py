"""The demo over several seeds: what `make demo` shows, with its spread.

Writes benchmarks/demo.json, and the README's figures from the first seed's run into docs/images.

    python benchmarks/demo.py [--seeds 0,1,2] [--jobs 1]

Runs are resumable; they are kept in runs/benchmark-demo. With one job at a time the seconds are
those of `make demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import yaml

from mtgrpo.config import shipped_configs
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.jobs.experiment import Experiment, run_path
from mtgrpo.jobs.study import run_study
from mtgrpo.reports.curves import accuracy_curves, step_curves
from mtgrpo.reports.figure_files import save
from mtgrpo.reports.figures import accuracy_figure, shares_figure, weights_figure
from mtgrpo.runlog import Run, read_run

OUTPUT = Path("runs/benchmark-demo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()

    seeds = tuple(int(seed) for seed in arguments.seeds.split(","))
    base = yaml.safe_load(shipped_configs()["demo"].read_text(encoding="utf-8"))
    experiment = Experiment("demo", base, {"demo": {}}, seeds, "demo", ())
    failures = run_study(experiment, OUTPUT, jobs=arguments.jobs, on_event=tell)
    if failures:
        raise SystemExit("\n".join(failures))

    runs = [read_run(run_path(OUTPUT, "demo", seed)) for seed in seeds]
    rows = [row(run, seed) for run, seed in zip(runs, seeds, strict=True)]
    gains = [of_seed["worst_after"] - of_seed["worst_before"] for of_seed in rows]

    record = {
        "command": f"python benchmarks/demo.py --seeds {arguments.seeds} --jobs {arguments.jobs}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, CPU only, embedded model",
        "worst_task_gain": {
            "median": round(statistics.median(gains), 4),
            "lowest": round(min(gains), 4),
            "highest": round(max(gains), 4),
        },
        "seeds": rows,
    }
    text = json.dumps(record, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")
    print(json.dumps(record["worst_task_gain"]))

    for path in save_figures(runs[0]):
        print(path)


def tell(*event: object) -> None:
    print(*event, flush=True)


def row(run: Run, seed: int) -> dict[str, Any]:
    """What a run came to."""
    before, after = run.evaluations[0].accuracies, run.evaluations[-1].accuracies

    return {
        "seed": seed,
        "worst_before": round(worst_accuracy(before), 4),
        "worst_after": round(worst_accuracy(after), 4),
        "mean_before": round(mean_accuracy(before), 4),
        "mean_after": round(mean_accuracy(after), 4),
        "accuracy_before": {name: round(value, 4) for name, value in before.items()},
        "accuracy_after": {name: round(value, 4) for name, value in after.items()},
        "shares_met_rate": run.summary["shares_met_rate"],
        "rollouts": run.metrics[-1].rollouts,
        "elapsed_s": round(run.metrics[-1].elapsed_s, 1),
    }


def save_figures(run: Run) -> list[Path]:
    """The README's figures."""
    accuracy, steps = accuracy_curves(run), step_curves(run)
    figures = {
        "demo-accuracy": accuracy_figure(accuracy),
        "demo-weights": weights_figure(steps, accuracy),
        "demo-shares": shares_figure(steps, accuracy),
    }

    return save(figures, "docs/images", suffixes=("svg",))


if __name__ == "__main__":
    main()

"""Picture of a study's runs on SmolLM2: ``python research/smollm2/picture.py RUN RUN ...``, runs of one method.

Writes curves.json beside this file (accuracy of each task's sampled answers, step by step, of all runs together) and
docs/images/smollm2.svg, with the accuracies on test prompts before and after from study.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from mtgrpo.evidence import load_results
from mtgrpo.runlog import Run, read_run

HERE = Path(__file__).parent
IMAGE = HERE.parents[1] / "docs" / "images" / "smollm2.svg"
WINDOW = 8
"""Steps that are averaged, all runs together."""

Counts = list[list[float]]
"""For each step: groups asked, and the sum of their accuracies."""


def counts(runs: Sequence[Run], task: str) -> Counts:
    """Groups of a task and the sum of their accuracies, by step, over all runs."""
    num_steps = max(len(run.metrics) for run in runs)
    table = [[0.0, 0.0] for _ in range(num_steps)]

    for run in runs:
        for step, line in enumerate(run.metrics):
            num = line.values.get(f"task/{task}/num_generated", 0.0)
            accuracy = line.values.get(f"task/{task}/accuracy")
            if num and accuracy is not None:
                table[step][0] += num
                table[step][1] += num * accuracy

    return table


def smoothed(table: Counts) -> list[float]:
    """Accuracy in percent over the last `WINDOW` steps, from step `WINDOW` on."""
    means: list[float] = []
    for end in range(WINDOW, len(table) + 1):
        num, total = np.sum(table[end - WINDOW : end], axis=0)
        means.append(100 * float(total / num) if num else math.nan)
    return means


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    runs = [read_run(path) for path in parser.parse_args().runs]
    method = str(runs[0].config["preset"])

    results = load_results(HERE / "study.json").of(method)
    ends = 100 * np.array([[run.accuracy[0], run.accuracy[-1]] for run in results])
    # (seeds, before and after, tasks)

    curves = {task: counts(runs, task) for task in runs[0].tasks}
    record = {"method": method, "seeds": len(runs), "window": WINDOW, "groups_and_sum": curves}
    (HERE / "curves.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    figure, axes = plt.subplots(figsize=(7, 3.4))
    for k, (task, table) in enumerate(curves.items()):
        steps = range(WINDOW, len(table) + 1)
        (line,) = axes.plot(steps, smoothed(table), label=task)
        colour = line.get_color()

        for place, step in enumerate((0, len(table))):
            values = ends[:, place, k]
            low, high = values.mean() - values.min(), values.max() - values.mean()
            axes.errorbar(step, values.mean(), [[low], [high]], fmt="o", color=colour, capsize=3)

    axes.set(xlabel="step", ylabel="accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(IMAGE, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Record and picture of a run of smollm2_demo: ``python research/smollm2/picture.py RUN``.

Writes demo.json beside this file (what each task's groups came to, step by step, and the first and the last steps
compared) and docs/images/smollm2.svg.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from mtgrpo.runlog import read_run

HERE = Path(__file__).parent
IMAGE = HERE.parents[1] / "docs" / "images" / "smollm2.svg"
TASKS = ("needle_haystack", "chain_sum", "family_relationships", "gcd")
WINDOW = 8
"""Steps that are averaged."""


def mean_and_error(steps: list[tuple[float, float]]) -> tuple[float, float, int]:
    """Mean accuracy over groups, its standard error from the spread of steps, number of groups.

    Args:
        steps: Accuracy and number of groups of each step in which the task was asked.
    """
    groups = sum(num for _, num in steps)
    mean = sum(accuracy * num for accuracy, num in steps) / groups
    spread = sum(num * num * (accuracy - mean) ** 2 for accuracy, num in steps)
    return mean, math.sqrt(spread) / groups, round(groups)


def series(rows: list[dict[str, float]], task: str) -> list[tuple[int, float, float]]:
    """Step, accuracy and number of groups of the steps in which the task was asked."""
    found: list[tuple[int, float, float]] = []
    for step, row in enumerate(rows, 1):
        num = row.get(f"task/{task}/num_generated", 0.0)
        accuracy = row.get(f"task/{task}/accuracy")
        if num and accuracy is not None:
            found.append((step, accuracy, num))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    run = read_run(parser.parse_args().run)
    rows = [dict(line.values) for line in run.metrics]
    last = len(rows)

    record: dict[str, Any] = {
        "seeds": 1,
        "steps": last,
        "rollouts": run.metrics[-1].rollouts,
        "elapsed_s": round(run.metrics[-1].elapsed_s),
        "window": WINDOW,
        "tasks": {},
    }
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for task in TASKS:
        steps = series(rows, task)
        first = [(a, n) for step, a, n in steps if step <= WINDOW]
        end = [(a, n) for step, a, n in steps if step > last - WINDOW]
        (before, before_error, n_before) = mean_and_error(first)
        (after, after_error, n_after) = mean_and_error(end)
        record["tasks"][task] = {
            "first": [round(before, 3), round(before_error, 3), n_before],
            "last": [round(after, 3), round(after_error, 3), n_after],
            "accuracy": [[step, round(a, 4), round(n)] for step, a, n in steps],
        }

        means: list[float] = []
        for step in range(WINDOW, last + 1):
            near = [(a, n) for s, a, n in steps if step - WINDOW < s <= step]
            means.append(100 * mean_and_error(near)[0] if near else math.nan)
        axes.plot(range(WINDOW, last + 1), means, label=task)

    axes.set(xlabel="step", ylabel=f"accuracy of sampled answers, %\n(last {WINDOW} steps)")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(IMAGE, metadata={"Date": None})
    (HERE / "demo.json").write_text(json.dumps(record, indent=1) + "\n")
    for task, row in record["tasks"].items():
        print(task, row["first"], row["last"])


if __name__ == "__main__":
    main()

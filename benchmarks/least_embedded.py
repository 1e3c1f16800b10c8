"""How much of the least possible the methods use on the three embedded tasks: eta by specialists.

    mtgrpo study benchmarks/least_embedded.yaml --output runs/alone --results benchmarks/least_embedded_runs.json
    python benchmarks/least_embedded.py        # writes least_embedded.json beside this

The study has a method for each task, `grpo` with all weight on it, with the base of
research/equal_cost/three_tasks_fair.json: same test rows, learning rate and batch size. N* is what
these take together, read off their mean curves (mtgrpo.evidence.least).

"reachable" is the other way round: for each worst task the highest mean that some division of the
rollouts leaves, as specialists have it. Curves are made monotone first (least squares), as the highest
of many noisy evaluations comes out too high.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.evidence import StudyResults, load_results
from mtgrpo.evidence.least import least_rollouts, specialists
from mtgrpo.evidence.reach import rollouts_to
from mtgrpo.evidence.results import Floats

ROOT = Path(__file__).parents[1]
METHODS = ROOT / "research" / "equal_cost" / "three_tasks_fair.json"
LEVELS = (0.3, 0.35, 0.4)
STEP = 96  # rollouts, of the divisions that are tried
LEAST_SHOWN = 42  # percent
RUNS = Path(__file__).with_name("least_embedded_runs.json")
RECORD = Path(__file__).with_suffix(".json")


def etas(alone: StudyResults, together: StudyResults) -> dict[str, Any]:
    """N* by level, and for each method its rollouts and N* over them; None where not reached."""
    least = {level: least_rollouts(alone, level) for level in LEVELS}
    methods: dict[str, Any] = {}
    for method in together.finished_methods:
        runs = together.of(method)
        used = {level: rollouts_to(runs, level) for level in LEVELS}
        methods[method] = {
            str(level): {
                "rollouts": round(value) if math.isfinite(value) else None,
                "eta": round((least[level] or math.nan) / value, 2),
            }
            for level, value in used.items()
        }

    return {
        "seeds_of_specialists": len(alone.of(next(iter(specialists(alone).values())))),
        "seeds": len(together.of(together.finished_methods[0])),
        "least": {str(level): round(value or math.nan) for level, value in least.items()},
        "methods": methods,
    }


def reachable(alone: StudyResults, rollouts: int) -> dict[str, float]:
    """By the worst task in percent, the highest mean that a division among three tasks leaves."""
    one, two, three = (
        np.interp(np.arange(0, rollouts + 1, STEP), *curve(alone, task, method))
        for task, method in specialists(alone).items()
    )

    best: dict[int, float] = {}
    for i in range(len(one)):
        for j in range(len(one) - i):
            ends = (one[i], two[j], three[len(one) - 1 - i - j])
            worst, mean = round(100 * min(ends)), 100 * sum(ends) / 3
            best[worst] = max(best.get(worst, 0.0), mean)
    return {str(worst): round(best[worst], 1) for worst in sorted(best) if worst >= LEAST_SHOWN}


def curve(alone: StudyResults, task: str, method: str) -> tuple[Floats, Floats]:
    """Rollouts and accuracy of a specialist, the mean over its seeds, made monotone."""
    runs = alone.of(method)
    accuracy = np.mean([run.accuracy[:, run.tasks.index(task)] for run in runs], axis=0)
    return runs[0].rollouts, monotone(accuracy)


def monotone(values: Floats) -> Floats:
    """The nearest curve that never falls, by least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        block = (float(value), 1)
        while blocks and blocks[-1][0] > block[0]:
            before, count = blocks.pop()
            total = before * count + block[0] * block[1]
            block = (total / (count + block[1]), count + block[1])
        blocks.append(block)

    return np.repeat([value for value, _ in blocks], [count for _, count in blocks])


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()

    alone, together = load_results(RUNS), load_results(METHODS)
    rollouts = round(together.of("grpo")[0].rollouts[-1])
    figures = etas(alone, together)
    figures["reachable"] = {"rollouts": rollouts, "mean_by_worst": reachable(alone, rollouts)}
    text = json.dumps(figures, indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

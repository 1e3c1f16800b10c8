"""`grpo_fair` against GRPO on random simulated worlds, at equal rollouts.

    python benchmarks/worlds.py run runs/worlds.jsonl --methods grpo/paper,grpo_fair/default
    python benchmarks/equal_rollouts.py runs/worlds.jsonl     # writes equal_rollouts.json beside this

Both make one round of B groups a step, so equal steps are equal rollouts. The temperature and the
worst fraction were chosen on worlds of TUNING (random_worlds.py); these are the REPORTED ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from random_worlds import REPORTED
from worlds import SEEDS, Runs, read

from mtgrpo.core.types import Floats

OURS, BASELINE = "grpo_fair/default", "grpo/paper"
NUM_DRAWS = 2000
RECORD = Path(__file__).with_suffix(".json")


def compare(runs: Runs) -> dict[str, Any]:
    """Ours against the baseline, over the worlds that both have finished."""
    pairs: list[tuple[list[float], list[float]]] = []
    for number in REPORTED:
        if all((method, number, seed) in runs for method in (OURS, BASELINE) for seed in SEEDS):
            pairs.append((final(runs, OURS, number), final(runs, BASELINE, number)))

    if not pairs:
        raise SystemExit("no world has finished runs of both methods")

    ours = np.array([pair[0] for pair in pairs])  # (worlds, 3): worst, mean, rollouts
    theirs = np.array([pair[1] for pair in pairs])
    if not np.array_equal(ours[:, 2], theirs[:, 2]):
        raise SystemExit("rollouts differ: not a comparison at equal cost")

    difference = 100 * (ours - theirs)[:, :2]  # (worlds, 2), points
    return {
        "worlds": len(pairs),
        "seeds": len(SEEDS),
        "ours": OURS,
        "baseline": BASELINE,
        "worst": column(difference[:, 0], ours[:, 0], theirs[:, 0]),
        "mean": column(difference[:, 1], ours[:, 1], theirs[:, 1]),
    }


def final(runs: Runs, method: str, number: int) -> list[float]:
    """Worst and mean accuracy and rollouts at the end, means over seeds."""
    of_seeds = [runs[method, number, seed] for seed in SEEDS]
    return [
        float(np.mean([r[name][-1] for r in of_seeds])) for name in ("worst", "mean", "rollouts")
    ]


def column(difference: Floats, ours: Floats, theirs: Floats) -> dict[str, Any]:
    """One figure's levels and differences, in points; the interval is a bootstrap over worlds."""
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (NUM_DRAWS, len(difference))).mean(axis=1)

    return {
        "ours": round(100 * float(ours.mean()), 1),
        "baseline": round(100 * float(theirs.mean()), 1),
        "difference": round(float(difference.mean()), 1),
        "interval": [round(float(q), 1) for q in np.quantile(means, (0.025, 0.975))],
        "higher_in": int((difference > 0).sum()),
        "more_than_a_point_lower_in": int((difference < -1).sum()),
        "lowest": round(float(difference.min()), 1),
        "highest": round(float(difference.max()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)

    text = json.dumps(compare(read(parser.parse_args().runs)), indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

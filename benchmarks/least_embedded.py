"""How much of the least possible the methods use on the three embedded tasks: eta by specialists.

    mtgrpo study benchmarks/least_embedded.yaml --output runs/alone --results alone.json
    python benchmarks/least_embedded.py alone.json        # writes least_embedded.json beside this

The study has a method for each task, `grpo` with all weight on it, with the base of
research/equal_cost/three_tasks_fair.json: same test rows, learning rate and batch size. N* is what
these take together, read off their mean curves (mtgrpo.evidence.least).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from mtgrpo.evidence import StudyResults, load_results
from mtgrpo.evidence.least import least_rollouts, specialists
from mtgrpo.evidence.reach import rollouts_to

ROOT = Path(__file__).parents[1]
METHODS = ROOT / "research" / "equal_cost" / "three_tasks_fair.json"
LEVELS = (0.3, 0.35, 0.4)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("specialists", type=Path)

    alone = load_results(parser.parse_args().specialists)
    text = json.dumps(etas(alone, load_results(METHODS)), indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""Each task's share of the loss, as it comes and with `loss_shares`, on the embedded model.

python benchmarks/loss_shares.py            # some minutes; writes loss_shares.json beside this file
python benchmarks/loss_shares.py --quick    # one seed, a few steps, nothing written

Three tasks of unequal completion lengths get equal weights; TRL's default loss counts tokens. What is measured is the
training itself, `task/<name>/loss_share` of every step; shares that are wanted are those of the step's quotas.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.config import load_config
from mtgrpo.jobs.run import train
from mtgrpo.runlog import Run, read_run

SEEDS = (0, 1, 2)
STEPS = 30


def run(seed: int, loss_shares: bool, steps: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        changes = [
            "preset=grpo_rps",
            f"seed={seed}",
            f"steps={steps}",
            f"loss_shares={str(loss_shares).lower()}",
        ]

        changes += [f"output={folder}/run", "evaluation.every=0", "evaluation.prompts_per_task=1"]
        train(load_config("demo", changes))

        return read_run(f"{folder}/run")


def series(found: Run, name: str) -> dict[str, np.ndarray]:
    """One figure of every task, by step."""
    return {
        task: np.array([m.values.get(f"task/{task}/{name}", 0.0) for m in found.metrics])
        for task in found.tasks
    }


def shares(found: Run) -> dict[str, Any]:
    """Per task: mean share of the quotas, of the groups and of the loss, and how far the last is off per step."""
    wanted, groups, loss = (
        series(found, name) for name in ("target_ratio", "realized_ratio", "loss_share")
    )

    return {
        task: {
            "quota_share": _round(wanted[task].mean()),
            "group_share": _round(groups[task].mean()),
            "loss_share": _round(loss[task].mean()),
            "off_by": _round(np.abs(loss[task] - wanted[task]).mean()),
        }
        for task in found.tasks
    }


def _round(value: float) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps, write nothing")
    quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []

    for seed in SEEDS[: 1 if quick else None]:
        for scaled in (False, True):
            found = run(seed, scaled, 3 if quick else STEPS)

            row = {
                "seed": seed,
                "loss_shares": scaled,
                "num_steps": len(found.metrics),
                "tasks": shares(found),
            }

            capped = [m.values.get("sampler/loss_shares_capped", 0.0) for m in found.metrics]
            row["steps_capped"] = int(np.count_nonzero(capped))
            rows.append(row)
            print(json.dumps(row), flush=True)

    if not quick:
        Path(__file__).with_suffix(".json").write_text(
            json.dumps(rows, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

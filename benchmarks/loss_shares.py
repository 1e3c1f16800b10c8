"""Each task's share of the loss, as it comes and with `loss_shares`, on the embedded model.

python benchmarks/loss_shares.py            # some minutes; writes loss_shares.json beside this file
python benchmarks/loss_shares.py --quick    # one seed, a few steps, nothing written

Three tasks of unequal completion lengths get equal weights; TRL's default loss counts tokens. What
is measured is the training itself, `task/<name>/loss_share` of every step; the shares that are
wanted are those of the step's quotas.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.config import load_config
from mtgrpo.core.types import Floats
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
            f"output={folder}/run",
            "evaluation.every=0",
            "evaluation.prompts_per_task=1",
        ]
        train(load_config("demo", changes))

        return read_run(f"{folder}/run")


def series(run: Run, task: str, name: str) -> Floats:
    """A metric of a task, by step."""
    return np.array([m.values.get(f"task/{task}/{name}", 0.0) for m in run.metrics])


def shares(run: Run) -> dict[str, Any]:
    """Per task: mean share of quotas, groups and loss, and how far the last is off per step."""
    table: dict[str, Any] = {}
    for task in run.tasks:
        wanted, loss = series(run, task, "target_ratio"), series(run, task, "loss_share")
        table[task] = {
            "quota_share": _round(wanted.mean()),
            "group_share": _round(series(run, task, "realized_ratio").mean()),
            "loss_share": _round(loss.mean()),
            "off_by": _round(np.abs(loss - wanted).mean()),
        }

    return table


def _round(value: float) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps, write nothing")
    quick = parser.parse_args().quick
    seeds, steps = ((0,), 3) if quick else (SEEDS, STEPS)

    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for scaled in (False, True):
            done = run(seed, scaled, steps)
            limited = [m.values.get("sampler/loss_shares_limited", 0.0) for m in done.metrics]
            row = {
                "seed": seed,
                "loss_shares": scaled,
                "num_steps": len(done.metrics),
                "tasks": shares(done),
                "steps_limited": int(np.count_nonzero(limited)),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)

    if quick:
        return

    text = json.dumps(rows, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

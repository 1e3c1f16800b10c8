"""A campaign of faults against `mtgrpo train`: kills, spoiled files, full disks, bad rewards, ...

nice python benchmarks/faults.py             # everything; what was done before is kept
nice python benchmarks/faults.py --only kill # the faults whose name begins so

A run that was killed or stopped is resumed until it ends, and then compared with one that nothing
happened to: metrics (all but times), evaluations, completions, the mixer's state and the model's
weights, bit for bit. fault_lab.py has what all faults share.

Work goes to runs/faults/, the tally to faults.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import fault_kills  # noqa: F401 - each registers its faults
import fault_kinds  # noqa: F401
import fault_rewards  # noqa: F401
import yaml
from fault_lab import CONFIG, ENVIRONMENT, FAULTS, STEPS, WORK, whole

import mtgrpo

RECORD = Path(__file__).with_suffix(".json")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=[""], help="faults whose names begin so, in this order"
    )
    parser.add_argument("--again", action="store_true", help="also those that were done before")
    arguments = parser.parse_args()

    os.environ |= ENVIRONMENT
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    whole()

    for name in chosen(arguments.only):
        if arguments.again or not outcome_file(name).exists():
            inject(name)
            write_record()

    write_record()


def chosen(prefixes: list[str]) -> list[str]:
    """Names of the faults that begin with one of the prefixes, in the order of these."""
    names: dict[str, None] = {}
    for prefix in prefixes:
        names |= dict.fromkeys(name for name in FAULTS if name.startswith(prefix))

    return list(names)


def inject(name: str) -> None:
    """Inject a fault and write down what came of it."""
    function, run = FAULTS[name], WORK / name
    shutil.rmtree(run, ignore_errors=True)
    begin = time.monotonic()

    expected = " ".join((function.__doc__ or "").split())
    outcome = {"fault": name, "expected": expected, "commit": commit(), **function(run)}
    outcome_file(name).write_text(json.dumps(outcome))
    shutil.rmtree(run, ignore_errors=True)

    verdict = "ok  " if outcome["ok"] else "FAIL"
    print(f"{verdict} {name} ({time.monotonic() - begin:.0f} s)", flush=True)


def outcome_file(name: str) -> Path:
    return WORK / f"{name}.json"


def commit() -> str:
    """Commit of the package that is tested."""
    command = ["git", "-C", str(Path(mtgrpo.__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)

    return done.stdout.strip() or "unknown"


def write_record() -> None:
    """Write all outcomes so far, a line each, below what they come to."""
    outcomes: list[dict[str, Any]] = []
    not_run: list[str] = []
    for name in FAULTS:
        if outcome_file(name).exists():
            outcomes.append(json.loads(outcome_file(name).read_text()))
        else:
            not_run.append(name)

    kills: list[dict[str, Any]] = []
    for outcome in outcomes:
        kills += outcome.get("kills", ())

    by_step = {str(n): sum(k["steps_logged"] == n for k in kills) for n in range(STEPS + 1)}
    half_written = sum(bool(kill["half_written"]) for kill in kills)
    differing = sum(bool(outcome.get("differences")) for outcome in outcomes)

    record = {
        "kills": len(kills),
        "kills_with_a_half_written_checkpoint": half_written,
        "kills_by_steps_logged": by_step,
        "runs_that_differ_after_resuming": differing,
        "faults": len(outcomes),
        "not_as_expected": [outcome["fault"] for outcome in outcomes if not outcome["ok"]],
        "not_injected": [outcome["fault"] for outcome in outcomes if outcome.get("skipped")],
        "not_run": not_run,
        "config": CONFIG,
    }

    head = json.dumps(record, indent=1)[:-2]
    rows = ",\n".join("  " + json.dumps(outcome) for outcome in outcomes)
    RECORD.write_text(f'{head},\n "outcomes": [\n{rows}\n ]\n}}\n')


if __name__ == "__main__":
    main()

"""What the mixer and its state cost with up to 100,000 tasks and 10^8 prompts, and its processes.

Everything is measured here; each number of tasks in a process of its own, so that its memory is its
own. Times are CPU time: other processes on the machine do not count. Writes scaling.json beside
this file.

python benchmarks/scaling.py            # a few minutes
python benchmarks/scaling.py --quick    # few tasks, few steps, nothing written
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scaling_core import BATCH_SIZE, GROUP_SIZE, NUM_PROMPTS, ledger, many_prompts, many_tasks

HERE = Path(__file__)
TASKS = (10, 100, 1_000, 10_000, 100_000)
TRAINED = (10, 1_000, 10_000, 100_000)
PROMPT_CASES = ((NUM_PROMPTS, 0), (NUM_PROMPTS, 1), (10**6, 1))
"""How many prompts, with or without memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few tasks, few steps, nothing written"
    )
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()

    if given.case:
        name, *numbers = given.case
        print(json.dumps(measure(name, *map(int, numbers))))
    else:
        everything(given.quick)


def measure(name: str, *numbers: int) -> dict[str, Any]:
    """One row, in this process."""
    if name == "tasks":
        return many_tasks(*numbers)
    if name == "ledger":
        return ledger(*numbers)
    if name == "prompts":
        num_prompts, remember, draws = numbers
        return many_prompts(num_prompts, bool(remember), draws)

    from scaling_trainer import talk, whole_trainer

    if name == "processes":
        return talk(*numbers)

    return whole_trainer(*numbers)


def everything(quick: bool) -> None:
    result: dict[str, Any] = {
        "about": {
            "what": "CPU time, median over steps; memory and state of mixer and prompt streams, "
            "without completions",
            "batch_size": BATCH_SIZE,
            "group_size": GROUP_SIZE,
            "prompts_of_all_tasks": NUM_PROMPTS,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
        }
    }

    for part, cases in planned(quick).items():
        rows: list[dict[str, Any]] = []
        for case in cases:
            rows.append(in_own_process(part, *case))
            print(part, json.dumps(rows[-1]), flush=True)

        result[part] = rows[0] if part == "processes" else rows
        if not quick:
            text = json.dumps(result, indent=2) + "\n"
            HERE.with_suffix(".json").write_text(text, encoding="utf-8")


def planned(quick: bool) -> dict[str, list[tuple[int, ...]]]:
    """The arguments of every row, by part."""
    tasks, trained, steps, draws, talks = TASKS, TRAINED, 12, 10**6, 10
    if quick:
        tasks, trained, steps, draws, talks = TASKS[:3], TASKS[:2], 3, 10**4, 2

    return {
        "tasks": [(n, steps) for n in tasks],
        "ledger": [(n, steps) for n in tasks],
        "prompts": [(*case, draws) for case in PROMPT_CASES],
        "processes": [(talks,)],
        "trainer": [(n, 4) for n in trained],
    }


def in_own_process(name: str, *numbers: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE), "--case", name, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)

    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

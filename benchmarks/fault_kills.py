"""The kills of `faults.py`: `kill -9` at random moments, and at chosen moments of saving."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fault_lab import (
    FAULTS,
    STEPS,
    Outcome,
    ends_well,
    kill,
    num_logged,
    opened_after,
    resume,
    start,
    wait_for,
    whole,
)

NUM_TRIALS = 12
LOADING_S = 4.0
"""About what a process takes from its start to its first step."""
AS_EXPECTED = "the run of an uninterrupted process"


def step_seconds() -> float:
    """Mean time of a step."""
    log = (whole() / "metrics.jsonl").read_text().splitlines()
    times = [json.loads(line)["elapsed_s"] for line in log]

    return (times[-1] - times[0]) / (len(times) - 1)


def where(run: Path) -> dict[str, Any]:
    """What a killed run leaves behind."""
    checkpoints = list((run / "checkpoints").glob("checkpoint-*"))
    checkpoints.sort(key=lambda path: int(path.name.rpartition("-")[2]))

    is_whole: dict[bool, list[str]] = {True: [], False: []}
    for path in checkpoints:
        is_whole[(path / "checkpoint.json").exists()].append(path.name)

    return {
        "steps_logged": num_logged(run),
        "whole_checkpoints": is_whole[True],
        "half_written": is_whole[False],
        "finished_training": (run / "model").exists(),
    }


def kill_at_random(run: Path, rng: random.Random) -> list[dict[str, Any]]:
    """One to four kills, each somewhere between opening the directory and the end."""
    kills: list[dict[str, Any]] = []

    for _ in range(rng.randint(1, 4)):
        begun, now = num_logged(run), time.time()
        process = start(run)
        moment = rng.uniform(begun - 1.0, STEPS + 1.5)

        def ready(moment: float = moment, begun: int = begun, now: float = now) -> bool:
            if moment < begun:  # anywhere in the seconds it takes to load everything
                return True

            return opened_after(run, now) and num_logged(run) >= min(int(moment), STEPS)

        if wait_for(ready, process):
            pause = (moment % 1.0) * (LOADING_S if moment < begun else step_seconds())
            process.wait(pause)

        if process.poll() is not None:
            break

        kill(process)
        kills.append(where(run))

    return kills


def trial(number: int) -> Callable[[Path], Outcome]:
    def kills(run: Path) -> Outcome:
        done = kill_at_random(run, random.Random(f"faults {number}"))
        return ends_well(run, *resume(run), kills=done)

    kills.__doc__ = f"killed at random moments and resumed: {AS_EXPECTED}"
    return kills


for number in range(NUM_TRIALS):
    FAULTS[f"kill_{number:02}"] = trial(number)

MOMENTS = (
    "checkpoints/checkpoint-12/mixer.json",
    "checkpoints/checkpoint-12/model.safetensors",
    "checkpoints/checkpoint-12/optimizer.pt",
    "checkpoints/checkpoint-12/trainer_state.json",
    "checkpoints/checkpoint-12/checkpoint.json",
    "checkpoints/checkpoint-24/checkpoint.json",
    "model",
)


def at(path: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        process = start(run)
        hit = wait_for((run / path).exists, process)
        kill(process)
        left = where(run)
        outcome = ends_well(run, *resume(run), kills=[left])

        return {**outcome, "ok": outcome["ok"] and hit}

    inject.__doc__ = f"killed the moment {path} appears, and resumed: {AS_EXPECTED}"
    return inject


for moment in MOMENTS:
    FAULTS[f"kill_at_{moment.rpartition('checkpoint-')[2].replace('/', '_')}"] = at(moment)

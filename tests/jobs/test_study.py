"""Studies: resumed after any interruption, with the same results."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtgrpo.evidence import load_results
from mtgrpo.evidence.tables import all_tables
from mtgrpo.jobs.experiment import load_experiment
from mtgrpo.jobs.study import collect, run_study

EXPERIMENT = """
base:
  model: tiny
  tasks: [{tiny: countdown, level: easy}, {tiny: zebra, level: easy}]
  steps: 8
  batch_size: 4
  group_size: 4
  updates_per_step: 2
  learning_rate: 1e-4
  max_completion_length: 12
  evaluation: {every: 4, samples_per_prompt: 2, prompts_per_task: 12}
  checkpoint: {every: 2, keep: 2}
seeds: [0]
baseline: dapo
thresholds: [0.2]
methods:
  dapo: {preset: dapo, variant: paper}
  mt_grpo: {preset: mt_grpo, variant: released}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def start(file: Path, output: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "mtgrpo",
        "study",
        str(file),
        "--output",
        str(output),
        "--jobs",
        "2",
    ]
    return subprocess.Popen(
        command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def runs_of(output: Path) -> list[int]:
    """Process ids of the study's runs."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"train" in words and any(str(output).encode() in word for word in words):
                found.append(int(entry.name))
    return found


def wait_for_steps(output: Path, count: int) -> None:
    """Until the runs have logged so many steps together."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(output.glob("*/seed-*/metrics.jsonl"))
        if sum(len(log.read_bytes().splitlines()) for log in logs) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"{output}: not {count} steps in two minutes")


def without_seconds(value: dict) -> dict:
    for run in value["runs"]:
        run["seconds"] = [0.0] * len(run["seconds"])
    return value


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_a_study_killed_twice_ends_with_the_same_tables(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(EXPERIMENT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    moments = random.Random(time.time_ns())  # any moment will do

    first = start(file, killed)
    wait_for_steps(killed, moments.randint(1, 6))
    first.kill()  # its runs notice that they are orphans, save and stop
    first.communicate()
    second = start(file, killed)
    wait_for_steps(killed, moments.randint(7, 11))
    for number in (second.pid, *runs_of(killed)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    second.communicate()
    third = start(file, killed)
    text, _ = third.communicate(timeout=300)
    assert third.returncode == 0, text

    experiment = load_experiment(str(file))
    assert run_study(experiment, whole, jobs=2) == []
    results = [without_seconds(collect(experiment, folder)) for folder in (whole, killed)]
    assert results[0] == results[1]
    tables = [[table.markdown() for table in all_tables(load_results(value))] for value in results]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_signal_lets_the_runs_save_and_stop(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(EXPERIMENT.replace("steps: 8", "steps: 200"))
    study = start(file, tmp_path / "out")
    wait_for_steps(tmp_path / "out", 2)
    study.send_signal(signal.SIGTERM)
    text, _ = study.communicate(timeout=120)
    assert study.returncode == 130, text
    assert runs_of(tmp_path / "out") == []
    assert list((tmp_path / "out").glob("*/seed-0/checkpoints/checkpoint-*"))
    assert "Traceback" not in text

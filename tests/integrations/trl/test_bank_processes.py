"""The bank on two processes: the same decisions as on one, exact shares, exact resume, and moves from two to one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("bank_processes.py")


def run(model_path, folder, processes, checkpoint="none"):
    folder.mkdir()
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    launcher = [sys.executable]
    if processes > 1:
        launcher += [
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            str(processes),
            "--standalone",
        ]
    done = subprocess.run(
        [*launcher, SCRIPT, model_path, folder, checkpoint],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [
        json.loads((folder / f"result-{process}.json").read_text()) for process in range(processes)
    ]


@pytest.mark.slow
def test_two_processes(model_path, tmp_path):
    (one,) = run(model_path, tmp_path / "one", 1)
    first, second = run(model_path, tmp_path / "two", 2)
    for name in ("whole", "halves"):
        assert first[name]["decisions"] == second[name]["decisions"] == one[name]["decisions"]
        for found in (one, first, second):
            assert found[name]["resumed"]
            assert found[name]["wrong"] == 0
            assert set(found[name]["shares"]) == {1.0}
            assert sum(num_banked for _, _, num_banked, _ in found[name]["decisions"]) > 3
    assert max(found[name]["discarded"] for found in (first, second) for name in found) > 0, (
        "no uneven round"
    )
    (elsewhere,) = run(
        model_path, tmp_path / "elsewhere", 1, str(tmp_path / "two" / "whole-2" / "checkpoint-3")
    )
    assert elsewhere["decisions"] == one["whole"]["decisions"][3:]
    assert elsewhere["wrong"] == 0
    assert elsewhere["num_moved"] > 0

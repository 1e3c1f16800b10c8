"""Two processes: bitwise plain GRPO, exact shares and one memory over both, exact resume, evaluation counted once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes(model_path, tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--standalone",
    ]
    done = subprocess.run(
        [*launcher, script, model_path, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.JSONDecoder().raw_decode(part)[0] for part in done.stdout.split("RESULT ")[1:]]
    assert len(results) == 2
    first, second = results
    assert first == second
    for check in (
        "bitwise",
        "metrics",
        "packed",
        "shares",
        "loss_shares",
        "loss_scaled",
        "resumed",
        "remembered",
        "still",
    ):
        assert first[check], check
    assert min(first["left_out"]) > 0
    assert first["num_prompts"] == [6, 6, 6]
    assert max(first["discarded"]) <= 1
    assert max(first["skipped"]) > 0, "nothing was passed over"
    assert first["changed"] == [
        ["easy", "medium"],
        ["medium"],
        ["medium", "hard"],
        ["easy", "hard"],
    ]

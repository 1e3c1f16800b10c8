"""Two processes, each with an engine of its own, over gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .environment import fresh_environment


def test_two_processes_take_the_same_decisions_and_end_with_the_same_weights(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--standalone", str(Path(__file__).with_name("two_processes.py")), str(tmp_path)]
    done = subprocess.run(
        command,
        env=fresh_environment() | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]

    parts = done.stdout.split("RESULT ")[1:]
    first, second = (json.JSONDecoder().raw_decode(part)[0] for part in parts)
    for name in ("digest", "weights", "rollouts"):
        assert first[name] == second[name]
    assert first["rollouts"] == 2 * 96
    main = first if first["realized"] else second
    assert len(main["realized"]) == 2
    assert max(main["difference"]) < 1e-3
    for shares in zip(*main["shares"], strict=True):
        assert sum(shares) == pytest.approx(1.0)

"""Two processes over gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .environment import fresh_environment


def run(folder: Path, mode: str, url: str = "") -> list[dict[str, Any]]:
    """What each of two processes says, in no order."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--standalone", str(Path(__file__).with_name("two_processes.py"))]
    done = subprocess.run(
        [*command, str(folder), mode, url],
        env=fresh_environment() | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]

    parts = done.stdout.split("RESULT ")[1:]
    return [json.JSONDecoder().raw_decode(part)[0] for part in parts]


def check(first: dict[str, Any], second: dict[str, Any]) -> None:
    for name in ("digest", "weights", "rollouts"):
        assert first[name] == second[name]
    assert first["rollouts"] == 2 * 96
    main = first if first["realized"] else second
    assert len(main["realized"]) == 2
    assert max(main["difference"]) < 1e-3
    for shares in zip(*main["shares"], strict=True):
        assert sum(shares) == pytest.approx(1.0)


def test_two_processes_take_the_same_decisions_and_end_with_the_same_weights(tmp_path):
    """An engine in each."""
    check(*run(tmp_path, "colocate"))


def test_two_processes_share_a_server(tmp_path, url):
    check(*run(tmp_path, "server", url))


def test_two_processes_train_on_what_one_of_them_rolls_out(tmp_path, url):
    """TRL's asynchronous trainer: one process has the loop, the ledger, and the batches."""
    first, second = run(tmp_path, "async", url)
    assert first["digest"] == second["digest"]
    assert sorted([first["batches"] > 0, second["batches"] > 0]) == [False, True]

    main = first if first["batches"] else second
    assert main["samples"] == pytest.approx([96, 96], abs=0.01)  # TRL divides tokens by lengths
    assert main["kl"][0] < 1e-6  # the server's first weights are the trainer's
    assert main["saved"] == ["checkpoint-1", "checkpoint-2"]

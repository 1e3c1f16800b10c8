"""`mtgrpo train` with vLLM, as a user calls it: in a process of its own."""

import json
import subprocess
import sys

from .environment import fresh_environment

CONFIG = """
output: run
model: tiny
preset: mt_grpo
tasks:
  - {tiny: countdown, level: easy}
  - {tiny: zebra, level: easy}
steps: 2
batch_size: 4
group_size: 4
learning_rate: 1.0e-4
max_completion_length: 16
trl: {use_vllm: true, vllm_mode: colocate, vllm_max_model_length: 64, vllm_gpu_memory_utilization: 0.1}
"""


def test_a_configuration_trains_with_vllm(tmp_path):
    (tmp_path / "job.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "mtgrpo", "train", "job.yaml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=fresh_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert len(steps) == 2
    assert "TRL currently supports vLLM" in done.stdout + done.stderr

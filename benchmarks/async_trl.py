# ruff: noqa: E402 - the environment comes first
"""Asynchronous steps on TRL's real loop and trainer with a real vLLM server: are the shares of every batch exact?

Tasks differ in latency, completions fail, and some are cancelled. What is counted is what the trainer fetched, 36
samples a step, not what the library says it made. On a CPU two things of TRL's are replaced (tests/vllm): the CUDA
kernel of its packed attention, and NCCL, by a file. Writes async_trl.json beside this file.

make test-vllm                                         # once, for the environment
.venv-vllm/bin/python benchmarks/async_trl.py          # 200 steps, about ten minutes on two cores
.venv-vllm/bin/python benchmarks/async_trl.py --steps 4
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch
from tests.vllm.cpu_attention import use_on_cpu
from tests.vllm.lab import easy_tasks
from tests.vllm.server import FileTransfer, running
from transformers import PrinterCallback
from trl.experimental.async_grpo import AsyncGRPOConfig

from mtgrpo import ImprovementAware, Method, tiny
from mtgrpo.integrations.trl_async import MultiTaskAsyncGRPOTrainer
from mtgrpo.integrations.trl_async.loop import MultiTaskRolloutLoop
from mtgrpo.runlog.environment import describe_environment

BATCH, GROUP = 9, 4
DELAYS = {"countdown-easy": 0.05, "zebra-easy": 0.4, "arc-easy": 2.0}
"""Seconds that a completion of each task takes longer, on average (log-normal, sigma 0.6)."""
BOUNDS = {"countdown-easy": 2, "zebra-easy": 3, "arc-easy": 4}
FAILS, TIMEOUT = 0.01, 30.0
"""Share of completions that raise; seconds after which one is cancelled."""


class Setter:
    def setattr(self, owner: Any, name: str, value: Any) -> None:
        setattr(owner, name, value)


class Fetched(queue.Queue):
    """Keeps which group each sample that the trainer fetched belongs to, and how old it was."""

    def __init__(self, version: Any) -> None:
        super().__init__()
        self.version, self.groups = version, []

    def get(self, *args: Any, **kwargs: Any) -> Any:
        sample = super().get(*args, **kwargs)
        self.groups.append(sample.group_id)
        return sample


def worsen(random_state: random.Random) -> None:
    """Slow tasks, failures, and completions that never end."""
    generate = MultiTaskRolloutLoop._generate_one
    turn = MultiTaskRolloutLoop._generate_one_turn

    async def generate_one(self, prompt, tool_dict, tools, group_id=0):
        self.doomed = getattr(self, "doomed", {})
        self.doomed[tuple(self.tokenizer(prompt)["input_ids"])] = self._tickets[group_id].task
        return await generate(self, prompt, tool_dict, tools, group_id)

    async def one_turn(self, prompt_ids):
        task = self.doomed[tuple(prompt_ids)]
        if random_state.random() < FAILS:
            raise RuntimeError("made to fail")
        slow = TIMEOUT * 2 if random_state.random() < FAILS / 10 else 0.0
        await asyncio.sleep(DELAYS[task] * random_state.lognormvariate(0, 0.6) + slow)
        return await turn(self, prompt_ids)

    MultiTaskRolloutLoop._generate_one = generate_one
    MultiTaskRolloutLoop._generate_one_turn = one_turn


def run(steps: int, folder: Path, url: str) -> dict[str, Any]:
    args = AsyncGRPOConfig(
        str(folder / "run"),
        max_steps=steps,
        per_device_train_batch_size=18,
        gradient_accumulation_steps=BATCH * GROUP // 18,
        num_generations=GROUP,
        max_completion_length=16,
        learning_rate=5e-5,
        vllm_server_base_url=url,
        max_inflight_tasks=72,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dtype="float32",
    )
    trainer = MultiTaskAsyncGRPOTrainer(
        str(tiny.model_path()),
        easy_tasks(),
        args,
        method=Method(ImprovementAware(lam=0.2)),
        max_staleness=BOUNDS,
        rollout_timeout=TIMEOUT,
        weight_transfer=FileTransfer(url, folder),
    )
    trainer.remove_callback(PrinterCallback)
    fetched = trainer.rollout_queue = trainer._worker.rollout_buffer = Fetched(None)

    made, task_of = [], {}
    make, take = trainer.batches.make, trainer.batches.take

    def recorded():
        made.append(make())
        return made[-1]

    def taken(number, group):
        task_of[number] = group.task
        take(number, group)

    trainer.batches.make, trainer.batches.take = recorded, taken
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    return report(trainer, made, fetched.groups, task_of, seconds)


def report(trainer, made, groups, task_of, seconds) -> dict[str, Any]:
    size, steps = BATCH * GROUP, trainer.state.global_step
    inexact, realized = [], Counter()
    for step in range(steps):
        counts = Counter(task_of[number] for number in groups[step * size : (step + 1) * size])
        wanted = {task: count * GROUP for task, count in made[step].quotas.items() if count}
        realized.update(counts)
        if dict(counts) != wanted:
            inexact.append(step + 1)

    logs = [entry for entry in trainer.state.log_history if "sampler/rounds" in entry]
    logs = logs[:steps]  # without the summary at the end
    total = sum(realized.values())

    def over(name: str) -> list[float]:
        return [entry[name] for entry in logs if name in entry]

    tasks = {}
    for task in DELAYS:
        staleness = over(f"task/{task}/staleness")
        tasks[task] = {
            "mean_extra_latency_s": DELAYS[task],
            "max_staleness": BOUNDS[task],
            "share_of_samples": round(realized[task] / total, 4),
            "mean_weight": round(sum(over(f"task/{task}/weight")) / len(logs), 4),
            "mean_staleness": round(sum(staleness) / len(staleness), 2),
            "stale": int(sum(over(f"task/{task}/stale"))),
            "failed": int(sum(over(f"task/{task}/failed"))),
        }
    return {
        "steps": steps,
        "samples_per_step": size,
        "inexact_batches": len(inexact),
        "inexact_steps": inexact,
        "samples_dropped_by_trl": int(sum(over("sample/dropped_stale_total"))),
        "oldest_sample_versions": int(max(over("sample/staleness_max"))),
        "groups_rolled_out": int(sum(over("sampler/groups_generated"))),
        "short_batches": sum(value > 0 for value in over("sampler/shortfall")),
        "groups_failed": int(sum(over("sampler/failed"))),
        "groups_cancelled_or_stale": int(sum(over("sampler/stale"))),
        "median_seconds_a_step": round(
            sorted(over("perf/step_s"))[len(over("perf/step_s")) // 2], 2
        ),
        "seconds": round(seconds, 1),
        "tasks": tasks,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    use_on_cpu(Setter())
    worsen(random.Random(0))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(Path(tempfile.gettempdir()) / "mtgrpo-vllm-server.log") as url:
            figures = run(options.steps, folder, url)

    record = {
        "what": "MultiTaskAsyncGRPOTrainer: TRL's loop and trainer, real vLLM server, CPU",
        "replaced": "packed attention (CUDA kernel), weight transfer (NCCL); see tests/vllm",
        **figures,
        "environment": describe_environment(),
    }
    print(json.dumps(record, indent=2))
    if options.steps >= 200:
        (HERE / "async_trl.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A realistic run directory, written with RunLog itself: three-level tasks, one stagnating until it gets weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtgrpo.runlog import RunLog

HOSTILE = (
    "<script>alert('task')</script>",
    "$x_1$ \\frac{a}{b} \\undefined{$",
    "very-long-" + "name-" * 30,
    'quote" onload="alert(1)',
    "</style><img src=x onerror=alert(1)>",
    "--></metadata><script>alert('comment')</script><!--",
    "]]></text><image href='http://a.b/c'/>",
    "中文 – emoji \U0001f600 \x07 bell",
)
HOSTILE_TEXT = "<script>alert('completion')</script> </pre></details> & $\\boxed{1}$ \x00\x1b[31m \ud800 \u202eabc"


def write_synthetic_run(
    path: Path,
    *,
    tasks: Sequence[str] = ("countdown-medium", "zebra-medium", "arc-medium"),
    steps: int = 60,
    every: int = 10,
    seed: int = 0,
    preset: str = "mt_grpo",
    status: str | None = "finished",
    group_size: int = 8,
    batch_size: int = 16,
    evaluate: bool = True,
    text: str = HOSTILE_TEXT,
) -> Path:
    """`status` None: killed, no summary. Adaptive presets ("mt_...") lift the worst task, others do not."""
    rng = np.random.default_rng(seed)
    num = len(tasks)
    floor, ceiling = np.linspace(0.3, 0.05, num), np.linspace(0.9, 0.55, num)
    pace = np.linspace(3.5, 1.0, num)  # how fast a task is learnt
    adaptive = preset.startswith("mt_")
    with RunLog.create(path, tasks) as log:
        log.write_config(
            {
                "tasks": [{"tiny": name} for name in tasks],
                "output": str(path),
                "preset": preset,
                "steps": steps,
                "batch_size": batch_size,
                "group_size": group_size,
                "seed": seed,
                "note": text,
            }
        )
        log.write_environment(seed=seed, extra={"accelerator": text})
        rollouts, weights, accuracy = 0, np.full(num, 1 / num), floor.copy()
        for step in range(steps + 1):
            elapsed = 2.5 * step
            if step:
                drive = 5 * (accuracy.mean() - accuracy) if adaptive else np.zeros(num)
                weights = np.exp(drive) / np.exp(drive).sum()
                accuracy = accuracy + (ceiling - accuracy) * weights * num * pace / steps
                acceptance = np.clip(
                    np.linspace(0.7, 0.15, num) + 0.05 * rng.standard_normal(num), 0.02, 1
                )
                quotas = np.floor(weights * batch_size).astype(int)
                quotas[: batch_size - quotas.sum()] += 1
                realized = quotas.copy()
                short = int(step % 13 == 0)
                realized[int(np.argmax(realized))] -= short
                generated = np.ceil(quotas / acceptance).astype(int) + 2
                rollouts += int(generated.sum()) * group_size
                values: dict[str, float] = {}
                for k, name in enumerate(tasks):
                    seen = float(np.clip(accuracy[k] + 0.06 * rng.standard_normal(), 0, 1))
                    prefix = f"task/{name}/"
                    values |= {
                        prefix + "weight": float(weights[k]),
                        prefix + "target_ratio": float(quotas[k] / batch_size),
                        prefix + "realized_ratio": float(realized[k] / max(1, realized.sum())),
                        prefix + "num_generated": int(generated[k]),
                        prefix + "reward": seen if generated[k] else math.nan,
                        prefix + "accuracy": seen,
                        prefix + "acceptance_rate": float(acceptance[k]),
                        prefix + "dropped/all_wrong": int(generated[k] * (1 - acceptance[k])),
                    }
                values |= {
                    "tasks/worst_accuracy": float(accuracy.min()),
                    "tasks/mean_accuracy": float(accuracy.mean()),
                    "sampler/rounds": int(1 + rng.poisson(0.8)),
                    "sampler/groups_generated": int(generated.sum()),
                    "sampler/shortfall": short,
                    "sampler/surplus": int(rng.poisson(3)),
                    "sampler/shares_met": float(not short),
                }
                log.log_metrics(step, rollouts, values, elapsed_s=elapsed)
            if evaluate and step % every == 0:
                rows = {}
                for k, name in enumerate(tasks):
                    measured = float(np.clip(accuracy[k] + 0.012 * rng.standard_normal(), 0, 1))
                    error = math.sqrt(measured * (1 - measured) / 200)
                    rows[name] = {
                        "accuracy": measured, "reward": measured, "num_prompts": 200, "std_error": error,
                    }  # fmt: skip
                log.log_evaluation(step, rollouts, rows, num_samples=4, elapsed_s=elapsed)
            if step % every == 0:
                samples = [
                    {
                        "task": name,
                        "prompt": [{"role": "user", "content": f"Question {step}? {text}"}],
                        "completion": f"answer {text}",
                        "reward": float(i % 2),
                        "accuracy": float(i % 2),
                        "kept": bool(i % 3),
                    }
                    for name in tasks
                    for i in range(4)
                ]
                log.log_completions(step, samples, max_per_task=2)
        log.checkpoint_path(steps).mkdir(parents=True)
        if status is not None:
            log.write_summary(
                {"status": status, "steps": steps, "rollouts": rollouts, "elapsed_s": 2.5 * steps}
            )
    return path

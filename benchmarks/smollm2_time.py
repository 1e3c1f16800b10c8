"""Processor time of a completion on SmolLM2, by method: what equal time is in research/smollm2.

Each method of research/smollm2/study.yaml trains for a few steps from the start, one thread, without evaluations;
the seconds of a step over its completions are the price of a completion, updates included. Writes
smollm2_time.json beside this file.

    python benchmarks/smollm2_time.py    # about ten minutes on one idle core
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import yaml
from equal_time import Clock
from machine import machine

from mtgrpo.config.loading import parse_config
from mtgrpo.integrations.trl.job import make_trainer
from mtgrpo.jobs.setup import prepare

STUDY = Path(__file__).parents[1] / "research" / "smollm2" / "study.yaml"
STEPS = {"grpo": 5, "grpo_fair": 5, "dapo": 3, "mt_grpo": 3}
"""A step of the last two makes two and three times as many completions."""


def run(method: str, study: dict[str, Any]) -> dict[str, Any]:
    """Completions made and processor seconds of the first steps."""
    steps = STEPS[method]
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"evaluation": {"every": 0}, "checkpoint": {"every": 0}, "output": f"{folder}/run"}
        values = {**study["base"], **study["methods"][method], **quiet, "seed": 0, "steps": steps}
        job = prepare(parse_config(values, STUDY.name))
        trainer: Any = make_trainer(job.run, job.model, job.tasks, job.trl)

        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
        rollouts = job.run.group_size * sum(
            entry["sampler/groups_generated"]
            for entry in trainer.state.log_history
            if "sampler/groups_generated" in entry
        )

    seconds = np.diff(clock.times)
    return {
        "steps": steps,
        "rollouts": int(rollouts),
        "processor_s": [round(float(s), 1) for s in seconds],
        "processor_s_a_rollout": round(float(seconds.sum() / rollouts), 4),
    }


def main() -> None:
    torch.set_num_threads(1)
    study = yaml.safe_load(STUDY.read_text(encoding="utf-8"))

    methods: dict[str, Any] = {}
    for method in STEPS:
        methods[method] = run(method, study)
        print(method, methods[method], flush=True)

    about = {
        "what": "processor seconds a completion in the first steps of the methods of "
        "research/smollm2/study.yaml, one thread, updates included",
        **machine(),
    }
    text = json.dumps({"about": about, "methods": methods}, indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

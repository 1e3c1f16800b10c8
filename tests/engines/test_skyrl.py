"""SkyRL's trainer loop, dataset, batches, advantages and checkpoints; a generator of ours, no model.

SkyRL's type definitions need Python 3.12, or `typing.TypedDict` replaced by that of typing_extensions.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mtgrpo import tiny
from tests.test_engines_page import ACCEPTED, BATCH, SIZE, Engine, exact, rewards

pytest.importorskip("skyrl.train.trainer", reason="SkyRL is not installed")

STEPS = 6
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def chat_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    shutil.copytree(tiny.model_path(), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def test_batches_have_the_mixers_shares(monkeypatch, tmp_path):
    import torch
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.dataset import PromptDataset

    dice = random.Random(1)

    class Generator:
        async def generate(self, batch: Any) -> dict[str, Any]:
            tasks = [extras["data_source"] for extras in batch["env_extras"]]
            values = [r for task in tasks[::SIZE] for r in rewards(task, dice)]
            count = len(tasks)
            return {
                "prompt_token_ids": [[5, 6]] * count,
                "response_ids": [[7, 1]] * count,
                "rewards": values,
                "loss_masks": [[1, 1]] * count,
                "stop_reasons": ["stop"] * count,
                "rollout_metrics": None,
                "rollout_logprobs": None,
                "trajectory_ids": batch["trajectory_ids"],
                "trajectory_generation_times": [1.0] * count,
                "trajectory_time_splits": {"llm": [1.0] * count},
            }

    async def nothing(*args: Any, **kwargs: Any) -> None: ...

    recipe = Engine(monkeypatch).run("SkyRL")
    made: list[tuple[Counter[str], bool]] = []

    class Trainer(recipe["TaskTrainer"]):
        def init_weight_sync_state(self) -> None: ...

        def convert_to_training_input(self, output: Any, uids: list[str]) -> Any:
            groups = Counter(uid.split("/")[0] for uid in uids[::SIZE])
            made.append((groups, exact(groups, self.train_dataloader.mixer)))
            return super().convert_to_training_input(output, uids)

        def fwd_logprobs_values_reward(self, data: Any) -> Any:
            data["values"] = None
            return data

        def train_critic_and_policy(self, data: Any) -> dict[str, float]:
            assert len(data["sequences"]) == BATCH * SIZE
            assert torch.isfinite(data["advantages"]).all()
            assert data["advantages"].abs().sum() > 0
            return {}

    rows = [
        {"prompt": [{"role": "user", "content": f"{i}"}], "data_source": task, "env_class": "none"}
        for task in ACCEPTED
        for i in range(3 * BATCH)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    tokenizer = chat_tokenizer(tmp_path / "tokenizer")
    cfg = SkyRLTrainConfig.from_cli_overrides(
        [
            f"trainer.train_batch_size={BATCH}",
            f"trainer.policy_mini_batch_size={BATCH}",
            "trainer.algorithm.dynamic_sampling.type=filter",
            "trainer.algorithm.advantage_estimator=grpo",
            "trainer.placement.colocate_all=false",
            "trainer.enable_ray_gpu_monitor=false",
            "generator.inference_engine.enable_ray_prometheus_stats=false",
            "trainer.resume_mode=none",
            "trainer.eval_interval=-1",
            "trainer.ckpt_interval=2",
            "trainer.hf_save_interval=-1",
            "trainer.epochs=1",
            f"trainer.ckpt_path={tmp_path / 'checkpoints'}",
            f"generator.n_samples_per_prompt={SIZE}",
        ]
    )
    trainer = Trainer(
        cfg=cfg,
        tracker=types.SimpleNamespace(log=lambda *args, **kwargs: None, finish=lambda: None),
        tokenizer=tokenizer,
        train_dataset=PromptDataset(str(data), tokenizer, 64, num_workers=1),
        inference_engine_client=None,
        generator=Generator(),
    )
    trainer.dispatch = types.SimpleNamespace(
        get_lcm_dp_size=lambda: 4,
        get_node_ids=list,
        save_checkpoint=lambda *args, **kwargs: None,
        finalize_pending_saves=lambda *args: None,
        save_weights_for_sampler=nothing,
    )
    asyncio.run(trainer.train())
    assert [is_exact for _, is_exact in made] == [True] * STEPS
    mixer = trainer.train_dataloader.mixer
    assert (mixer.step, trainer.total_training_steps) == (STEPS, STEPS)
    assert mixer.weights()["hard"] > mixer.weights()["easy"]

    saved = torch.load(tmp_path / f"checkpoints/global_step_{STEPS}/data.pt", weights_only=False)
    resumed = recipe["TaskLoader"](trainer.train_dataset, cfg)
    resumed.load_state_dict(saved)
    assert resumed.mixer.weights() == mixer.weights()

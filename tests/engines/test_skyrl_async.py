"""SkyRL's fully asynchronous loop, workers and staleness control around the recipe; a generator of ours, no model.

As for test_skyrl.py, SkyRL's type definitions need Python 3.12, or `typing.TypedDict` of typing_extensions.
"""

from __future__ import annotations

import asyncio
import json
import random
import types
from collections import Counter
from typing import Any

import pytest

from tests.engines.test_skyrl import chat_tokenizer
from tests.test_engines_page import ACCEPTED, BATCH, SIZE, Engine, exact, rewards

pytest.importorskip("skyrl.train.fully_async_trainer", reason="SkyRL is not installed")

STEPS, STALENESS, WORKERS = 12, 2, 20
SECONDS = {"easy": 0.001, "hard": 0.03}  # of one group


class Generator:
    """Groups of the slow task come back late, in any order."""

    def __init__(self) -> None:
        self.dice = random.Random(1)

    async def generate(self, batch: Any) -> dict[str, Any]:
        (task,) = {extras["data_source"] for extras in batch["env_extras"]}
        await asyncio.sleep(SECONDS[task] * self.dice.uniform(0.5, 2.0))
        return {
            "prompt_token_ids": [[5, 6]] * SIZE,
            "response_ids": [[7, 1]] * SIZE,
            "rewards": rewards(task, self.dice),
            "loss_masks": [[1, 1]] * SIZE,
            "stop_reasons": ["stop"] * SIZE,
            "rollout_metrics": {},
            "rollout_logprobs": [[-0.5, -0.5]] * SIZE,
            "trajectory_ids": batch["trajectory_ids"],
            "trajectory_generation_times": [1.0] * SIZE,
            "trajectory_time_splits": {"llm": [1.0] * SIZE},
        }


SETTINGS = [
    f"trainer.train_batch_size={BATCH}",
    f"trainer.policy_mini_batch_size={BATCH}",
    "trainer.fully_async.enabled=true",
    f"trainer.fully_async.max_staleness_steps={STALENESS}",
    f"trainer.fully_async.num_parallel_generation_workers={WORKERS}",
    "trainer.algorithm.advantage_estimator=grpo",
    "trainer.algorithm.policy_loss_type=rollout_is",
    "trainer.placement.colocate_all=false",
    "trainer.enable_ray_gpu_monitor=false",
    "generator.batched=false",
    "generator.inference_engine.enable_ray_prometheus_stats=false",
    "trainer.eval_interval=-1",
    "trainer.ckpt_interval=4",
    "trainer.hf_save_interval=-1",
    "trainer.epochs=1",
    f"generator.n_samples_per_prompt={SIZE}",
]


async def nothing(*args: Any, **kwargs: Any) -> None: ...


def test_batches_have_the_mixers_shares_and_a_bounded_age(monkeypatch, tmp_path):
    import skyrl.train.fully_async_trainer as fully_async
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.dataset import PromptDataset

    # The recipe replaces this for good; here for the length of the test.
    monkeypatch.setattr(fully_async, "_AsyncDataloader", fully_async._AsyncDataloader)
    recipe = Engine(monkeypatch).run("SkyRL, fully asynchronous")
    made: list[bool] = []
    ages = Counter[int]()

    class Trainer(recipe["AsyncTaskTrainer"]):
        def init_weight_sync_state(self) -> None: ...

        async def _collect_generation_mini_batch(self, *args: Any) -> Any:
            groups, dropped, is_exhausted = await super()._collect_generation_mini_batch(*args)
            stat = self._staleness_manager._stat
            assert stat.submitted == stat.accepted + stat.filtered + stat.running
            tasks = Counter(
                row["env_extras"]["data_source"]
                for group in groups
                for row in [by_prompt[group.prompts[0][0]["content"]]]
            )
            made.append(exact(tasks, self.train_dataloader.ledger.mixer))
            ages.update(self.global_step - group.global_step_when_scheduled for group in groups)
            return groups, dropped, is_exhausted

        def fwd_logprobs_values_reward(self, data: Any) -> Any:
            data["values"] = None
            return data

        def train_critic_and_policy(self, data: Any) -> dict[str, float]:
            assert len(data["sequences"]) == BATCH * SIZE
            assert data["advantages"].abs().sum() > 0
            return {}

    rows = [
        {
            "prompt": [{"role": "user", "content": f"{task}{i}"}],
            "data_source": task,
            "env_class": "none",
        }
        for task in ACCEPTED
        for i in range(3 * BATCH)
    ]
    by_prompt = {row["prompt"][0]["content"]: {"env_extras": row} for row in rows}
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    tokenizer = chat_tokenizer(tmp_path / "tokenizer")
    dataset = PromptDataset(str(data), tokenizer, 64, num_workers=1)

    def train(*settings: str) -> Any:
        trainer = Trainer(
            cfg=SkyRLTrainConfig.from_cli_overrides([*SETTINGS, *settings]),
            tracker=types.SimpleNamespace(log=lambda *args, **kwargs: None, finish=lambda: None),
            tokenizer=tokenizer,
            train_dataset=dataset,
            inference_engine_client=None,
            generator=Generator(),
        )
        trainer.dispatch = types.SimpleNamespace(
            get_lcm_dp_size=lambda: 4,
            get_node_ids=list,
            save_checkpoint=lambda *args, **kwargs: None,
            load_checkpoint=lambda *args, **kwargs: None,
            finalize_pending_saves=lambda *args: None,
            save_weights_for_sampler=nothing,
        )
        asyncio.run(trainer.train())
        return trainer.train_dataloader.ledger

    folder = f"trainer.ckpt_path={tmp_path / 'checkpoints'}"
    ledger = train(folder, f"trainer.max_training_steps={STEPS}", "trainer.resume_mode=none")
    assert made == [True] * STEPS
    assert max(ages) <= STALENESS
    assert ledger.mixer.step == STEPS
    assert ledger.mixer.weights()["hard"] > ledger.mixer.weights()["easy"]

    more = STEPS + 3
    # Not the latest: SkyRL numbers the one that it saves at the end as if it had trained once more.
    path = f"trainer.resume_path={tmp_path / 'checkpoints' / f'global_step_{STEPS}'}"
    mode = "trainer.resume_mode=from_path"
    resumed = train(folder, f"trainer.max_training_steps={more}", mode, path)
    assert resumed.mixer.step == more
    assert made == [True] * more
    assert max(ages) <= STALENESS

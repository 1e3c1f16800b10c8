"""NeMo-RL's loader over several data sets and its batches, as `grpo_train` uses them."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest

from tests.test_engines_page import ACCEPTED, SIZE, Engine, block, rewards

dataloader = pytest.importorskip("nemo_rl.data.dataloader", reason="NeMo-RL is not installed")
torch = pytest.importorskip("torch")


def test_batches_have_the_mixers_shares(monkeypatch, tmp_path):
    from nemo_rl.distributed.batched_data_dict import BatchedDataDict
    from torchdata.stateful_dataloader import StatefulDataLoader

    def collate(rows):
        return BatchedDataDict(
            message_log=[row["message_log"] for row in rows],
            task_name=[row["task_name"] for row in rows],
            loss_multiplier=torch.ones(len(rows)),
        )

    Engine(monkeypatch)
    (tmp_path / "task_dataloader.py").write_text(block("NeMo-RL"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path)  # NeMo-RL puts its own folder there
    loaders = {
        task: StatefulDataLoader(
            [
                {"message_log": [{"role": "user", "content": str(i)}], "task_name": task}
                for i in range(37)
            ],
            batch_size=1,
            shuffle=True,
            collate_fn=collate,
        )
        for task in ACCEPTED
    }
    config = {"custom_dataloader": "task_dataloader.task_dataloader"}
    wrapped = dataloader.MultipleDataloaderWrapper(32, config, loaders)
    dice, steps = random.Random(1), 6

    for step, batch in zip(range(steps), wrapped):  # noqa: B905 - it has no end
        ledger = sys.modules["task_dataloader"].ledger
        quotas = ledger.mixer.batch.quotas
        assert ledger.mixer.step == step
        assert Counter(batch["task_name"]) == {task: n for task, n in quotas.items() if n}

        repeated_batch = batch.repeat_interleave(SIZE)
        repeated_batch["total_reward"] = torch.tensor(
            [value for task in batch["task_name"] for value in rewards(task, dice)]
        )
        total = repeated_batch["total_reward"]
        wrapped.set_records({"tasks": repeated_batch["task_name"], "rewards": total})

    assert ledger.mixer.weights()["hard"] > ledger.mixer.weights()["easy"]
    assert len(list((tmp_path / "mixers").iterdir())) == steps - 1

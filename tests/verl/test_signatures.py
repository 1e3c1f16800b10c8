"""What we call and override of verl has the shape we think it has; a change upstream fails here first."""

from __future__ import annotations

import inspect

import transfer_queue
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.dataset.rl_dataset import RLHFDataset

from mtgrpo.integrations.verl import MultiTaskDataset, MultiTaskReplayBuffer


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_dataset():
    assert parameters(MultiTaskDataset) == parameters(RLHFDataset)
    assert parameters(RLHFDataset.__getitem__) == ["self", "item"]
    assert not hasattr(
        RLHFDataset, "state_dict"
    )  # or verl keeps a state of its own, which ours would hide


def test_replay_buffer():
    assert parameters(MultiTaskReplayBuffer.sample) == parameters(ReplayBuffer.sample)
    given = {
        "trainer_mode",
        "trainer_config",
        "max_off_policy_threshold",
        "max_off_policy_strategy",
    }
    assert set(parameters(MultiTaskReplayBuffer)) == given | {"sampler_kwargs", "refill_fn"}
    assert set(parameters(MultiTaskReplayBuffer)) <= set(parameters(ReplayBuffer))
    for name, wanted in {
        "_sync_metadata_from_transfer_queue": ["self"],
        "_clear_groups": ["self", "partition_id", "uids"],
        "_wait_for_next_poll": ["self", "partition_id", "last_debug_time"],
        "_materialize_batch": [
            "self",
            "partition_id",
            "selected_prompt_uids",
            "partition_snapshot",
        ],
    }.items():
        assert parameters(getattr(ReplayBuffer, name)) == wanted, name


def test_trainer():
    assert parameters(PPOTrainer._add_prompts_to_generate) == ["self", "num_prompts"]
    source = inspect.getsource(PPOTrainer)
    assert (
        "refill_fn=self._add_prompts_to_generate" in source
    )  # a bound method: our way to the dataset
    assert "self.train_dataset = create_rl_dataset(" in source
    assert "torch.save(self.train_dataloader.state_dict(), dataloader_local_path)" in source


def test_transfer_queue():
    assert parameters(transfer_queue.kv_batch_get) == ["keys", "partition_id", "select_fields"]
    assert {"keys", "partition_id", "fields"} <= set(parameters(transfer_queue.kv_batch_put))

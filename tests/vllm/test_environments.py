"""Environments and tools over vLLM in the trainer's own process."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("float32")


def chat_model(folder: Path) -> Path:
    """A tiny model whose chat template knows tools, with heads of a size that vLLM computes on a CPU."""
    import trl

    from tests.integrations.trl.toy import make_tokenizer, save_model

    save_model(folder, hidden=128)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))

    tokenizer = make_tokenizer()
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.save_pretrained(folder)
    return folder


def test_environments_of_two_tasks_run_once_per_rollout(lab, tmp_path):
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
    from tests.integrations.trl.test_features import Garden, Room, chat_tasks

    from .lab import logged

    trainer = MultiTaskGRPOTrainer(
        str(chat_model(tmp_path / "model")),
        tasks=chat_tasks(),
        method="grpo_fair",
        environment_factory={"room": Room, "garden": Garden},
        args=lab.config(
            "environments",
            per_device_train_batch_size=16,
            num_generations=4,
            max_completion_length=6,
            vllm_max_model_length=1024,
            max_steps=2,
            save_strategy="no",
        ),
    )
    trainer.train()
    assert Room.num_resets + Garden.num_resets == trainer.num_rollouts == 2 * 16
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
    assert logged(trainer, "task/in/reward")

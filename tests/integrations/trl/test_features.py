"""Adapters, chat prompts, environments and tools."""

from pathlib import Path

import pytest
import torch
import trl

from mtgrpo import Method, RatioPreservingSampler, Uniform
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import Task, TaskSet

from .conftest import around, history, same_parameters
from .toy import make_tasks


def test_peft(lab):
    peft = pytest.importorskip("peft")

    def build():
        lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
        changes = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "beta": 0.05}
        return lab.trainer(arguments={"peft_config": lora}, **changes)

    whole, resumed = build(), build()
    frozen = {name: p.clone() for name, p in whole.model.named_parameters() if not p.requires_grad}
    whole.train()
    assert frozen
    assert all(
        torch.equal(p, frozen[name]) for name, p in whole.model.named_parameters() if name in frozen
    )
    assert all(entry["grad_norm"] > 0 for entry in history(whole))
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert same_parameters(whole, resumed)


def test_bf16_and_checkpointing_which_trl_switches_on(lab):
    trainer = lab.trainer(gradient_checkpointing=True, bf16=True, max_steps=2)
    trainer.train()
    assert history(trainer)[-1]["grad_norm"] > 0


class Room:
    """An environment whose observation is part of the prompt and which remembers what happened."""

    num_resets = 0

    def reset(self, secret, **row):
        type(self).num_resets += 1
        self.secret = secret
        return f" secret {secret}"

    def knock(self, times: int) -> str:
        """Knock.

        Args:
            times: How often.

        Returns:
            An answer.
        """
        return "come in" * times


class Garden(Room):
    num_resets = 0


def chat_tasks() -> TaskSet:
    def reward(prompts, completions, secret, environments, **columns):
        assert [e.secret for e in environments] == secret
        return [float(c[-1]["content"][:1].lower() < "n") for c in completions]

    def rows(name, environment):
        return [
            {
                "prompt": [{"role": "user", "content": f"{name} {i}"}],
                "environment": environment,
                "secret": f"{name}{i}",
            }
            for i in range(12)
        ]

    return TaskSet(
        Task("in", rows("in", "room"), rows("test", "room")[:2], reward, correct_at=1.0),
        Task("out", rows("out", "garden"), [], reward, correct_at=1.0),
    )


def test_environments_run_once_per_rollout_and_their_observations_are_trained_on(lab):
    prompts = []

    class Spy(MultiTaskGRPOTrainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            around(self.engine, "replay", self._replay)

        def _replay(self, replay, rows):
            output = replay(rows)
            ids = output["prompt_ids"][output["prompt_mask"].bool()]
            prompts.append(self.processing_class.decode(ids))
            return output

    tokenizer = lab.tokenizer()
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    arguments = {
        "environment_factory": {"room": Room, "garden": Garden},
        "method": Method(Uniform(), RatioPreservingSampler(max_resamples=3)),
    }
    trainer = Spy(
        lab.model(),
        tasks=chat_tasks(),
        args=lab.config(per_device_train_batch_size=16, max_steps=2, per_device_eval_batch_size=4),
        processing_class=tokenizer,
        **arguments,
    )
    trainer.train()
    assert Room.num_resets + Garden.num_resets == trainer.num_rollouts
    assert all("secret" in text for text in prompts)
    assert trainer.environment_factories is not None
    resets = Room.num_resets
    assert "eval_task/in/accuracy" in trainer.evaluate()
    assert Room.num_resets == resets + 2 * 4


class Paying(Room):
    def get_reward(self) -> float:
        return 10.0 + self.secret.startswith("out")


def test_what_an_environment_gives_is_added_to_the_reward(lab):
    tokenizer = lab.tokenizer()
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        tasks=chat_tasks(),
        args=lab.config(per_device_train_batch_size=16, max_steps=1),
        processing_class=tokenizer,
        environment_factory={"room": Paying, "garden": Paying},
        method=Method(Uniform(), RatioPreservingSampler(group_filter="none")),
    )
    groups = []

    def run_round(run, request):
        groups.extend(run(request))
        return list(groups[-sum(request.values()) :])

    around(trainer.step, "run_round", run_round)
    trainer.train()
    assert {group.task for group in groups} == {"in", "out"}
    for group in groups:
        extra = 10.0 + (group.task == "out")
        assert tuple(reward - extra for reward in group.rewards) == group.accuracies


def test_chat_prompts(lab):
    tokenizer = lab.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    rows = [{"prompt": [{"role": "user", "content": f"say {i}"}]} for i in range(20)]
    vowels = make_tasks()["medium"]
    chat = Task("chat", rows[2:], rows[:2], vowels.reward, correct_at=1.0)
    trainer = MultiTaskGRPOTrainer(
        lab.model(), tasks=TaskSet(chat), args=lab.config(max_steps=1), processing_class=tokenizer
    )
    trainer.train()
    assert "eval_task/chat/accuracy" in trainer.evaluate()


def test_texts_become_chats_where_any_task_chats(lab, caplog):
    tokenizer = lab.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    rows = [{"prompt": [{"role": "user", "content": f"say {i}"}]} for i in range(8)]
    seen = set()

    def reward(prompts, completions, **columns):
        seen.update((p[0]["role"], c[0]["role"]) for p, c in zip(prompts, completions, strict=True))
        return [float(len(c[0]["content"]) % 2) for c in completions]

    texts = [{"prompt": f"text {i}"} for i in range(8)]
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        tasks=TaskSet(Task("chat", rows, [], reward), Task("text", texts, [], reward)),
        args=lab.config(max_steps=1),
        processing_class=tokenizer,
    )
    assert "each text prompt of 'text' becomes one user message" in caplog.text
    trainer.train()
    assert seen == {("user", "assistant")}
    assert trainer.tasks["text"].train[0]["prompt"] == [{"role": "user", "content": "text 0"}]


def test_chat_prompts_need_a_chat_template(lab):
    rows = [{"prompt": [{"role": "user", "content": f"say {i}"}]} for i in range(20)]
    chat = Task("chat", rows[2:], rows[:2], make_tasks()["medium"].reward, correct_at=1.0)
    with pytest.raises(ConfigError, match="no chat template; give a model whose tokenizer has one"):
        lab.trainer(TaskSet(chat))

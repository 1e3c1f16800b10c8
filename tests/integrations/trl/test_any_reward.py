"""Rewards of every origin, as a newcomer brings them: GRPOTrainer's arguments, two tasks, nothing declared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
import trl
from datasets import Dataset, IterableDataset
from transformers import Qwen2Config, Qwen2ForSequenceClassification

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.rollouts import DatasetRow

from .toy import make_tokenizer

POOR, RICH = "poor", "rich"


def share_of_vowels(text: str) -> float:
    return sum(letter in "aeiou" for letter in text) / max(len(text), 1)


def texts(completions) -> list[str]:
    return [c if isinstance(c, str) else c[-1]["content"] for c in completions]


def at_most_nine_tenths(completions, task, **columns):
    return [
        0.9 * (share_of_vowels(text) if name == POOR else 1 - share_of_vowels(text))
        for text, name in zip(texts(completions), task, strict=True)
    ]


def penalties(completions, task, **columns):
    return [value / 0.9 - 2 for value in at_most_nine_tenths(completions, task)]


async def judged_later(completions, task, **columns):
    await asyncio.sleep(0)
    return at_most_nine_tenths(completions, task)


def sometimes_nothing(completions, task, **columns):
    """None where there is nothing to judge: of one completion in five or so."""
    values = at_most_nine_tenths(completions, task)
    return [None if text[:1] in "xyz" else v for text, v in zip(completions, values, strict=True)]


def fewer_words(completions, **columns):
    return [-0.01 * len(text) for text in texts(completions)]


def rows(count: int = 40) -> list[dict]:
    return [{"prompt": f"q{i}=", "task": (POOR, RICH)[i % 2]} for i in range(count)]


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> Path:
    """A reward model with its tokenizer, as a directory: what a name of the hub would be."""
    folder = tmp_path_factory.mktemp("judge")
    tokenizer = make_tokenizer()
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def check(trainer, num_steps: int = 4) -> dict[str, float]:
    """Every step trains, at no more than three times the rollouts it trains on; the last step's log."""
    trainer.train()

    steps = [line for line in trainer.state.log_history if "loss" in line]
    assert len(steps) == num_steps
    assert all(line["grad_norm"] > 0 for line in steps)

    num_trained = num_steps * trainer.schedule.batch_size * trainer.schedule.group_size
    assert trainer.num_rollouts <= 3 * num_trained
    assert not any(key.endswith("worst_accuracy") for key in steps[-1])
    return steps[-1]


def build(lab, reward_funcs, train_dataset=None, arguments=None, **changes):
    return MultiTaskGRPOTrainer(
        lab.model(),
        reward_funcs,
        lab.config(max_steps=4, **changes),
        Dataset.from_list(rows()) if train_dataset is None else train_dataset,
        processing_class=lab.tokenizer(),
        **{"method": "balanced", **(arguments or {})},
    )


@pytest.mark.parametrize("reward", [at_most_nine_tenths, penalties, judged_later])
def test_graded_functions_and_the_worst_task_gains_weight(lab, reward):
    last = check(build(lab, reward))
    assert last[f"task/{POOR}/score"] < last[f"task/{RICH}/score"]
    assert last[f"task/{POOR}/weight"] > 0.5 > last[f"task/{RICH}/weight"]


def test_none_leaves_the_statistics(lab):
    assert check(build(lab, sometimes_nothing))["tasks/worst_score"] >= 0


def test_several_rewards_with_weights(lab):
    last = check(build(lab, [penalties, fewer_words], reward_weights=[1.0, 0.5]))
    for name in ("penalties", "fewer_words"):
        assert last[f"rewards/{name}/mean"] < 0 < last[f"rewards/{name}/std"]


def test_gdpo_normalises_each_reward(lab):
    config = {"multi_objective_aggregation": "normalize_then_sum"}
    check(build(lab, [penalties, fewer_words], **config))


@pytest.mark.parametrize("by_name", [True, False], ids=["name", "module"])
def test_reward_models(lab, judge, by_name):
    model = Qwen2ForSequenceClassification.from_pretrained(judge)
    last = check(build(lab, str(judge) if by_name else model))
    assert {f"task/{task}/score" for task in (POOR, RICH)} <= last.keys()


def test_a_reward_model_beside_a_function(lab, judge):
    model = Qwen2ForSequenceClassification.from_pretrained(judge)
    arguments = {"reward_processing_classes": [make_tokenizer(), None]}
    last = check(build(lab, [model, penalties], arguments=arguments))
    assert -2 <= last["rewards/penalties/mean"] <= -1


def test_a_reward_model_for_one_of_the_tasks(lab, judge):
    """The other task has None of it, so TRL's table is that of the model on all rows, with holes."""
    model = Qwen2ForSequenceClassification.from_pretrained(judge)
    everywhere = build(lab, [model, penalties])
    here = build(lab, {POOR: [str(judge), penalties], RICH: penalties})
    assert here.reward_func_names == everywhere.reward_func_names

    table = table_of(here)
    assert torch.isnan(table[:, 0]).tolist() == [False, True] * 4
    assert torch.allclose(table.nan_to_num(0), table_of(everywhere) * ~torch.isnan(table))

    last = check(here)
    assert last[f"task/{POOR}/reward"] != last[f"task/{RICH}/reward"]


def table_of(trainer) -> torch.Tensor:
    """TRL's table of rewards, shape (rows, columns), of completions of unequal lengths."""
    inputs = [DatasetRow(row, row["task"], i) for i, row in enumerate(rows(8))]
    completions = [f"b{'a' * i}" for i in range(8)]
    prompts = [row["prompt"] for row in inputs]
    ids = [[5 + i] for i in range(8)]
    return trainer._calculate_rewards(inputs, prompts, completions, ids)


def test_a_stream_of_rows(lab):
    def stream():
        yield from rows(200)

    data = IterableDataset.from_generator(stream)
    check(build(lab, at_most_nine_tenths, data))


def test_a_dataset_for_each_task(lab):
    data = {
        name: Dataset.from_list([row for row in rows() if row["task"] == name])
        for name in (POOR, RICH)
    }
    check(build(lab, penalties, data))


class Game:
    """An environment with a tool; what it rewards with is added below."""

    def reset(self, task, **row):
        self.task = task

    def say(self, word: str) -> str:
        """Say something.

        Args:
            word: What to say.

        Returns:
            The word.
        """
        self.heard = word
        return word


def endless(low: float, high: float):
    """A reward that moves in its range and never says what is right."""
    step = 0
    while True:
        step += 1
        yield low + (high - low) * ((step * 7) % 11) / 11


def test_environments_that_own_their_reward(lab):
    rewards = {POOR: endless(0.0, 0.3), RICH: endless(0.5, 0.9)}

    class Scored(Game):
        def get_reward(self) -> float:
            return next(rewards[self.task])

    tokenizer = lab.tokenizer()
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    data = Dataset.from_list(
        [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows()]
    )
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        args=lab.config(max_steps=2, per_device_eval_batch_size=8),
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        processing_class=tokenizer,
        environment_factory=Scored,
        reward_range=(0.0, 1.0),
        method="balanced",
    )
    last = check(trainer, 2)
    first = next(line for line in trainer.state.log_history if "loss" in line)
    assert first[f"task/{POOR}/reward"] < 0.3 < 0.5 <= first[f"task/{RICH}/reward"]
    assert last[f"task/{POOR}/weight"] > 0.5

    metrics = trainer.evaluate()
    assert metrics[f"eval_task/{POOR}/score"] < metrics[f"eval_task/{RICH}/score"]

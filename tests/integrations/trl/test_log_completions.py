"""TRL's `LogCompletionsCallback` with a trainer of tasks, and with one of datasets."""

import pytest
from datasets import Dataset
from transformers import GenerationConfig
from trl import LogCompletionsCallback

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


def length(completions, **columns):
    return [float(len(completion)) for completion in completions]


def trainer_of(lab, kind):
    if kind == "tasks":
        return lab.trainer(max_steps=1)

    rows = [{"prompt": f"q{i}=", "task": "ab"[i % 2]} for i in range(8)]
    return MultiTaskGRPOTrainer(
        lab.model(),
        length,
        lab.config(max_steps=1),
        Dataset.from_list(rows),
        Dataset.from_list(rows[:4]),
        processing_class=lab.tokenizer(),
    )


@pytest.mark.parametrize("kind", ["tasks", "datasets"])
def test_completions_of_test_prompts_are_collected(lab, kind):
    trainer = trainer_of(lab, kind)
    generation = GenerationConfig(max_new_tokens=4, max_length=None)
    callback = LogCompletionsCallback(trainer, generation, num_prompts=3, freq=1)
    trainer.add_callback(callback)
    trainer.train()

    prompts = list(trainer.eval_dataset["prompt"])[:3]
    assert [(step, prompt) for step, prompt, _ in callback.table] == [("1", p) for p in prompts]

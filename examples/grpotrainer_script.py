"""A script with TRL's GRPOTrainer, made multi-task with two lines (docs/from-grpotrainer.md).

python examples/grpotrainer_script.py --steps 20
"""

import argparse
import os
import random

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo import tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


def exact(completions, answer, **columns):
    return [float(text.strip() == right) for text, right in zip(completions, answer, strict=True)]


def short(completions, **columns):
    return [-len(text) / 100 for text in completions]


def rows(source, count):
    """The answers are written as the model writes them: in a box."""
    for _ in range(count):
        a, b = random.randrange(1, 10), random.randrange(1, 10)
        answer = rf"\boxed{{{a}+{b}}}" if source == "sum" else rf"\boxed{{{a}}}"
        yield {
            "prompt": f"countdown:{a},{b}={a + b}?",
            "answer": answer,
            "data_source": source,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="runs/grpotrainer-script")
    options = parser.parse_args()

    trainer = MultiTaskGRPOTrainer(
        model=str(tiny.model_path()),
        reward_funcs=[exact, short],
        train_dataset=Dataset.from_list([*rows("sum", 200), *rows("first", 200)]),
        args=GRPOConfig(
            options.output,
            reward_weights=[1.0, 0.1],
            max_steps=options.steps,
            per_device_train_batch_size=64,
            max_completion_length=16,
            learning_rate=1e-4,
            use_cpu=True,  # leave these two out on a GPU
            bf16=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        task_column="data_source",
        accuracy="exact",
        method="grpo_fair",
    )
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step

    trainer.train()
    print({task: round(weight, 2) for task, weight in trainer.mixer.weights().items()})


if __name__ == "__main__":
    main()

"""Two tasks: one with right answers, one whose reward only grades (docs/graded-rewards.md).

python examples/graded_reward.py --steps 20
"""

import argparse
import os
import random

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo import Task, TaskSet, tiny
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer


def uses_numbers(completions, numbers, **columns):
    """The share of the given numbers that an answer uses: how good it is, not whether it is right."""
    rewards = []
    for text, given in zip(completions, numbers, strict=True):
        used = sum(str(number) in text for number in given)
        rewards.append(used / len(given))
    return rewards


def rows(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        numbers = rng.sample(range(1, 11), 7)
        shown = ",".join(map(str, numbers))
        yield {"prompt": f"countdown:{shown}={rng.randrange(1, 20)}?", "numbers": numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="runs/graded-reward")
    options = parser.parse_args()

    tasks = TaskSet(
        tiny.tiny_task("zebra", "easy", num_test=20),
        Task("uses", [*rows(300, 0)], [*rows(20, 1)], uses_numbers, reward_range=(0.0, 1.0)),
    )
    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()),
        tasks=tasks,
        method="grpo_fair",
        args=GRPOConfig(
            options.output,
            max_steps=options.steps,
            per_device_train_batch_size=64,
            num_generations=8,
            num_generations_eval=2,
            max_completion_length=20,
            learning_rate=1e-4,
            use_cpu=True,  # leave these two out on a GPU
            bf16=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step

    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()

    for name, figure in (("zebra-easy", "accuracy"), ("uses", "score")):
        key = f"eval_task/{name}/{figure}"
        print(f"{name:12} {before[key]:.2f} -> {after[key]:.2f}")


if __name__ == "__main__":
    main()

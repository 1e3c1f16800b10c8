"""A game that grades itself, and a shop: an environment for each task (docs/environments.md).

python examples/environments.py --model Qwen/Qwen3-0.6B

The model must speak, and its chat template must know tools: the embedded one does not.
"""

import argparse
import random

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

PRICES = {"apple": 3, "pear": 4, "melon": 9}


class HigherLower:
    """Guess a number; the reward is how close the last guess came."""

    def reset(self, seed, **row):
        self.number, self.closest = random.Random(seed).randrange(100), 100
        return "Guess my number, from 0 to 99."

    def guess(self, number: int) -> str:
        """Guess the number.

        Args:
            number: Your guess, from 0 to 99.
        """
        self.closest = min(self.closest, abs(number - self.number))
        return "higher" if number < self.number else "lower" if number > self.number else "right"

    def get_reward(self) -> float:
        return 1 - self.closest / 100


class Shop:
    """A price list; the reward is a function below, which compares the answer."""

    def reset(self, item, **row):
        self.item = item
        return f"What does a {item} cost? Answer with the number alone."

    def price(self, item: str) -> int:
        """Look up a price.

        Args:
            item: What is sold.
        """
        return PRICES.get(item, 0)


def right_price(completions, task, item, **columns):
    answers = [completion[-1]["content"].strip() for completion in completions]
    return [
        float(answer == str(PRICES[i])) if name == "shop" else None
        for answer, name, i in zip(answers, task, item, strict=True)
    ]


def make_rows():
    chat = [{"role": "user", "content": ""}]  # environments add what `reset` returns
    rows = [
        {"task": "game", "environment": "game", "prompt": chat, "seed": seed, "item": "apple"}
        for seed in range(200)
    ]
    rows += [
        {"task": "shop", "environment": "shop", "prompt": chat, "seed": 0, "item": item}
        for item in PRICES
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="Qwen/Qwen3-0.6B")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-completion-length", type=int, default=256)
    parser.add_argument("--output", default="runs/environments")
    options = parser.parse_args()

    trainer = MultiTaskGRPOTrainer(
        model=options.model,
        reward_funcs=right_price,
        train_dataset=Dataset.from_list(make_rows()),
        environment_factory={"game": HigherLower, "shop": Shop},
        correct_at={"shop": 1.0},  # the shop has right answers,
        reward_range={"game": (0.0, 1.0)},  # the game a scale
        method="grpo_fair",
        args=GRPOConfig(
            options.output,
            max_steps=options.steps,
            num_generations=8,
            per_device_train_batch_size=options.batch_size,
            max_completion_length=options.max_completion_length,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            report_to="none",
        ),
    )
    trainer.remove_callback(PrinterCallback)  # prints every metric of every step

    trainer.train()
    print(trainer.mixer.weights())


if __name__ == "__main__":
    main()

"""The base profile: how often a model's samples are right, and how many groups are informative."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from transformers import LlamaForCausalLM

from mtgrpo.tasks.scores import Score
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.tiny.catalogue import FAMILIES, LEVELS, tiny_task
from mtgrpo.tiny.tokenizer import VOCABULARY
from mtgrpo.tiny.train import EOS_ID, encode, sample

MAX_TOKENS = 12
"""Length of the longest completion of all tasks, the end token included."""
NUM_SAMPLES = 8


def measure(
    model: LlamaForCausalLM,
    *,
    families: Iterable[str] = FAMILIES,
    levels: Iterable[str] = LEVELS,
    num_prompts: int = 400,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Sample 8 completions for each of the first test prompts, at temperature 1.

    Args:
        model: The policy.
        families: Families to measure.
        levels: Levels to measure.
        num_prompts: Number of prompts of each task.
        seed: Seed of the samples.

    Returns:
        For each task: accuracy and its standard error over prompts, mean reward, acceptance_rate
        (the share of groups of 8 in which some are right and some are not), all_wrong_rate, and
        the accuracy of the most likely answer (greedy_accuracy), which shows the skill below the
        noise.
    """
    families = tuple(families)

    profile: dict[str, dict[str, float]] = {}
    for level in levels:
        for family in families:
            task = tiny_task(family, level, num_test=num_prompts)
            prompts = [encode(row["prompt"]) for row in task.test]

            samples = sample(model, prompts, NUM_SAMPLES, MAX_TOKENS, seed)
            greedy = sample(model, prompts, 1, MAX_TOKENS, seed, greedy=True)
            profile[task.name] = _figures(_scores(task, samples), _scores(task, greedy))
    return profile


def _scores(task: Task, samples: Sequence[Sequence[list[int]]]) -> list[list[Score]]:
    """The scores of each test prompt's completions."""
    scores: list[list[Score]] = []
    for row, completions in zip(task.test, samples, strict=True):
        texts = [decode(tokens) for tokens in completions]
        scores.append(task.score([row] * len(texts), texts))
    return scores


def _figures(groups: list[list[Score]], greedy: list[list[Score]]) -> dict[str, float]:
    n = len(groups)
    rates = [sum(score.accuracy or 0.0 for score in group) / NUM_SAMPLES for group in groups]
    mean = sum(rates) / n
    variance = sum((rate - mean) ** 2 for rate in rates) / max(n - 1, 1)

    num_mixed = sum(0.0 < rate < 1.0 for rate in rates)
    num_all_wrong = sum(rate == 0.0 for rate in rates)
    total_reward = sum(score.reward for group in groups for score in group)
    num_greedy_right = sum(group[0].accuracy or 0.0 for group in greedy)

    return {
        "accuracy": round(mean, 4),
        "std_error": round((variance / n) ** 0.5, 4),
        "acceptance_rate": round(num_mixed / n, 4),
        "all_wrong_rate": round(num_all_wrong / n, 4),
        "reward": round(total_reward / n / NUM_SAMPLES, 4),
        "greedy_accuracy": round(num_greedy_right / n, 4),
    }


def decode(tokens: Iterable[int]) -> str:
    """The text of a completion."""
    return "".join(VOCABULARY[token] for token in tokens if token != EOS_ID)


def table(
    tasks: Mapping[str, Mapping[str, float]],
    before: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """The profile as Markdown; `before` adds the accuracies before the corruption."""
    columns = [
        "accuracy",
        "std_error",
        "acceptance_rate",
        "all_wrong_rate",
        "reward",
        "greedy_accuracy",
    ]
    head = [*columns, "before corruption"] if before else columns

    lines = ["| task | " + " | ".join(head) + " |", "|" + "---|" * (len(head) + 1)]
    for name, values in tasks.items():
        cells = [f"{values[column]:.3f}" for column in columns]
        if before:
            cells.append(f"{before[name]['accuracy']:.3f}")

        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)

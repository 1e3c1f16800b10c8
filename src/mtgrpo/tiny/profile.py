"""The base profile: how often a model's samples are right, and how many groups of samples tell anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import LlamaForCausalLM

from mtgrpo.tasks.tiny.catalogue import FAMILIES, LEVELS, tiny_task
from mtgrpo.tiny.tokenizer import VOCABULARY
from mtgrpo.tiny.train import EOS_ID, encode, sample

MAX_TOKENS = 12
"""Longest completion of all tasks, the end token included."""
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
        families: Of the tasks to measure.
        levels: Likewise.
        num_prompts: Of each task.
        seed: Of the samples.

    Returns:
        For each task: accuracy and its standard error over prompts, mean reward, acceptance_rate (the share of groups
        of 8 in which some are right and some are not), all_wrong_rate, and the accuracy of the most likely answer
        (greedy_accuracy), which shows the skill below the noise.
    """
    found: dict[str, dict[str, float]] = {}
    families = tuple(families)
    for level in levels:
        for family in families:
            task = tiny_task(family, level, num_test=num_prompts)
            rows = list(task.test)
            prompts = [encode(row["prompt"]) for row in rows]

            def accuracies(
                groups: list[list[list[int]]], task: Any = task, rows: Any = rows
            ) -> list[list[Any]]:
                return [
                    task.score([row] * len(group), [decode(tokens) for tokens in group])
                    for row, group in zip(rows, groups, strict=True)
                ]

            groups = accuracies(sample(model, prompts, NUM_SAMPLES, MAX_TOKENS, seed))
            likely = accuracies(sample(model, prompts, 1, MAX_TOKENS, seed, greedy=True))
            rates = [sum(score.accuracy for score in group) / NUM_SAMPLES for group in groups]
            mean = sum(rates) / len(rates)
            variance = sum((rate - mean) ** 2 for rate in rates) / max(len(rates) - 1, 1)
            found[task.name] = {
                "accuracy": round(mean, 4),
                "std_error": round((variance / len(rates)) ** 0.5, 4),
                "acceptance_rate": round(sum(0.0 < rate < 1.0 for rate in rates) / len(rates), 4),
                "all_wrong_rate": round(sum(rate == 0.0 for rate in rates) / len(rates), 4),
                "reward": round(
                    sum(s.reward for group in groups for s in group) / len(rows) / NUM_SAMPLES, 4
                ),
                "greedy_accuracy": round(sum(group[0].accuracy for group in likely) / len(rows), 4),
            }
    return found


def decode(tokens: Iterable[int]) -> str:
    """The text of a completion."""
    return "".join(VOCABULARY[token] for token in tokens if token != EOS_ID)


def table(
    tasks: Mapping[str, Mapping[str, float]],
    before: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """The profile as Markdown; `before` adds the accuracies that the model had before the corruption."""
    columns = (
        "accuracy",
        "std_error",
        "acceptance_rate",
        "all_wrong_rate",
        "reward",
        "greedy_accuracy",
    )
    head = [*columns, *(["before corruption"] if before else [])]
    lines = ["| task | " + " | ".join(head) + " |", "|" + "---|" * (len(head) + 1)]
    for name, values in tasks.items():
        cells = [f"{values[column]:.3f}" for column in columns]
        if before:
            cells.append(f"{before[name]['accuracy']:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)

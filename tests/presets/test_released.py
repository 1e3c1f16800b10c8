"""The `released` presets against the released code's update, written out again in plain Python floats.

Adam with coupled L2 on the logits, J as a moving average from 0 without bias correction, I clipped per minibatch, one
update per minibatch. A task that a round did not sample keeps its J; one absent from a minibatch has I = 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from .bound import bound

Values = Mapping[str, Any]
Step = tuple[Sequence[Values], Sequence[Values]]

LR, CLIP, EMA = 0.025, 0.1, 0.5


def softmax(logits: Sequence[float]) -> list[float]:
    exponentials = [math.exp(x - max(logits)) for x in logits]
    return [e / sum(exponentials) for e in exponentials]


def released(
    tasks: Sequence[str],
    steps: Sequence[Step],
    lam: float | None,
    decay: float,
    lr: float,
    clip: float,
    ema: float,
) -> list[list[float]]:
    """Weights after each step; ``lam=None`` is the reward-only rule, s = 0.2 J."""
    reward = dict.fromkeys(tasks, 0.0)
    logits, first, second = ([0.0] * len(tasks) for _ in range(3))
    count = 0
    weights: list[list[float]] = []
    for rounds, minibatches in steps:
        for observed in rounds:
            for task, accuracy in observed.items():
                reward[task] = ema * reward[task] + (1 - ema) * float(accuracy)
        for drop in minibatches:
            if lam is None:
                scores = [0.2 * reward[task] for task in tasks]
            else:
                scores = [
                    max(-clip, min(clip, float(drop.get(task, 0.0)))) + lam * reward[task]
                    for task in tasks
                ]
            z = softmax(logits)
            mean = sum(a * s for a, s in zip(z, scores, strict=True))
            count += 1
            for i, score in enumerate(scores):
                gradient = z[i] * (score - mean) + decay * logits[i]
                first[i] += 0.1 * (gradient - first[i])
                second[i] += 0.001 * (gradient**2 - second[i])
                step = (
                    first[i] / (1 - 0.9**count) / (math.sqrt(second[i] / (1 - 0.999**count)) + 1e-8)
                )
                logits[i] -= lr * step
        weights.append(softmax(logits))
    return weights


def random_steps(tasks: Sequence[str], seed: int, number: int = 60) -> list[Step]:
    """Rounds and minibatches with absent tasks, of every kind of number, sometimes none, sometimes far too large."""
    rng = random.Random(seed)
    kinds = (float, np.float32, np.float64, lambda x: np.array(x, dtype=np.float32))

    def values(low: float, high: float) -> Values:
        present = rng.choice([1.0, 1.0, 0.5, 0.0])
        return {
            task: rng.choice(kinds)(rng.uniform(low, high))
            for task in tasks
            if rng.random() < present
        }

    def step() -> Step:
        scale = rng.choice([0.02, 0.3, 1e12])
        return [values(0, 1) for _ in range(rng.randint(1, 3))], [
            values(-scale, scale) for _ in range(rng.choice([4, 4, 4, 1, 0]))
        ]

    return [step() for _ in range(number)]


THREE = [
    ("mt_grpo", {}, {"lam": 0.2, "decay": 1e-5}),
    ("mt_grpo", {"lam": 0.25, "reward_ema": 0.9}, {"lam": 0.25, "decay": 1e-5, "ema": 0.9}),
    ("mt_grpo", {"improvement_clip": 0.03, "weight_lr": 0.1}, {"lam": 0.2, "decay": 1e-5, "clip": 0.03, "lr": 0.1}),
    ("mt_grpo", {"weight_decay": 1e-2, "reward_ema": 0.0}, {"lam": 0.2, "decay": 1e-2, "ema": 0.0}),
    ("grpo_iwu", {"lam": np.float32(0.25)}, {"lam": float(np.float32(0.25)), "decay": 1e-5}),
    ("mt_grpo_reg", {}, {"lam": None, "decay": 5e-4}),
    ("mt_grpo_reg", {"eta": 1e-2}, {"lam": None, "decay": 1e-2}),
    ("mt_grpo_reg", {"eta": 1e-5, "weight_lr": 0.05, "reward_ema": 0.7},
     {"lam": None, "decay": 1e-5, "lr": 0.05, "ema": 0.7}),
    ("worst_task", {}, {"lam": None, "decay": 0.0}),
]  # fmt: skip
NINE = [
    ("mt_grpo", {"lam": 0.1}, {"lam": 0.1, "decay": 1e-4, "clip": 0.2}),
    ("mt_grpo", {"lam": 0.3}, {"lam": 0.3, "decay": 1e-4, "clip": 0.1}),
    ("mt_grpo", {"lam": 0.9}, {"lam": 0.9, "decay": 1e-4, "clip": 0.2}),
    ("grpo_iwu", {"lam": 1.2}, {"lam": 1.2, "decay": 1e-4, "clip": 0.2}),
    ("mt_grpo_reg", {"eta": 5e-4}, {"lam": None, "decay": 5e-4}),
    ("worst_task", {}, {"lam": None, "decay": 0.0}),
]


@pytest.mark.parametrize(
    ("number", "name", "overrides", "meaning"),
    [(3, *case) for case in THREE] + [(9, *case) for case in NINE],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_are_the_released_codes_over_60_steps(
    number: int, name: str, overrides: dict[str, float], meaning: dict[str, Any], seed: int
) -> None:
    tasks = [f"task {i}" for i in range(number)]
    steps = random_steps(tasks, seed)
    expected = released(tasks, steps, **{"lr": LR, "clip": CLIP, "ema": EMA, **meaning})
    weighting = bound(name, tasks, **overrides)
    for (rounds, minibatches), weights in zip(steps, expected, strict=True):
        # One round may be given as it is, as a mapping.
        weighting.update(
            task_rewards=rounds[0] if len(rounds) == 1 else rounds, improvements=minibatches
        )
        assert list(weighting.weights().values()) == pytest.approx(weights, abs=1e-9)
    assert max(expected[-1]) - min(expected[-1]) > 0.02  # they have moved: agreement says something


def test_no_minibatch_leaves_the_weights_but_not_the_rewards() -> None:
    for name in ("mt_grpo", "mt_grpo_reg"):
        weighting = bound(name, ["a", "b"])
        weighting.update(task_rewards={"a": 0.2, "b": 0.8}, improvements=[])
        assert weighting.weights() == {"a": 0.5, "b": 0.5}
        assert weighting.state_dict()["reward"]["values"] == pytest.approx([0.1, 0.4])

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from mtgrpo.core.weightings import ImprovementAware
from mtgrpo.errors import ConfigError


def softmax(*logits: float) -> list[float]:
    total = sum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def test_one_sgd_step_by_hand():
    # z = (1/3, 1/3, 1/3), lam = .5, J = (.4, .8, .6), I = (.1, 0, -.1): s = (.3, .4, .2), mean .3,
    # g = (0, .1/3, -.1/3); beta = 3: xi = (0, -.1, .1). Low reward and low improvement gain weight.
    weighting = ImprovementAware(
        lam=0.5,
        weight_lr=3.0,
        weight_decay=0.0,
        improvement="surrogate",
        optimizer="sgd",
        reward_ema=0.0,
    ).bind(["a", "b", "c"])
    weighting.update(
        task_rewards={"a": 0.4, "b": 0.8, "c": 0.6}, improvements={"a": 0.1, "b": 0.0, "c": -0.1}
    )
    assert list(weighting.weights().values()) == pytest.approx(softmax(0.0, -0.1, 0.1), abs=1e-15)


def test_first_adamw_step_by_hand():
    # The first Adam step is lr * g / (|g| + 1e-8): lr in each coordinate that has a gradient, whatever its size.
    weighting = ImprovementAware(lam=1.0, reward_ema=0.0).bind(["a", "b"])
    weighting.update(task_rewards={"a": 0.2, "b": 0.8})
    assert list(weighting.weights().values()) == pytest.approx(softmax(0.025, -0.025), abs=1e-8)


def test_improvement_is_the_change_of_the_reward_estimate():
    # ema .5: J_a = .2, then .3; I = .1, clipped to .05. b: .6, then .4: I = -.2, clipped to -.05.
    weighting = ImprovementAware(improvement_clip=0.05).bind(["a", "b", "c"])
    weighting.update(task_rewards={"a": 0.2, "b": 0.6})
    assert weighting.metrics() == {
        f"task/{name}/improvement": 0.0 for name in "abc"
    }  # a first value is no change
    weighting.update(task_rewards={"a": 0.4, "b": 0.2, "c": 0.9})
    assert weighting.metrics() == pytest.approx(
        {"task/a/improvement": 0.05, "task/b/improvement": -0.05, "task/c/improvement": 0.0}
    )
    weighting.update(task_rewards={"a": 0.32})
    assert weighting.metrics() == pytest.approx(
        {"task/a/improvement": 0.01, "task/b/improvement": 0.0, "task/c/improvement": 0.0}
    )


def test_minibatches_are_added_up_and_then_clipped_or_clipped_one_by_one():
    # The sums (.21, -.21) clip to (.1, -.1) in one update; one by one it is .04, .02 and .1, the last one clipped.
    parts = [{"a": 0.04, "b": -0.04}, {"a": 0.02, "b": -0.02}, {"a": 0.15, "b": -0.15}]
    arguments = {
        "improvement": "surrogate",
        "optimizer": "sgd",
        "weight_lr": 1.0,
        "weight_decay": 0.0,
        "lam": 0.0,
    }
    together = ImprovementAware(**arguments, updates="step").bind(["a", "b"])
    together.update(task_rewards={}, improvements=parts)
    # z = .5 each: g = .5 (.1 - 0) = .05, xi = (-.05, .05).
    assert list(together.weights().values()) == pytest.approx(softmax(-0.05, 0.05), abs=1e-15)
    each = ImprovementAware(**arguments, updates="minibatch").bind(["a", "b"])
    each.update(task_rewards={}, improvements=parts)
    x = 0.0
    for change in (
        0.04,
        0.02,
        0.1,
    ):  # two tasks, opposite scores: g_a = z_a (s - (z_a - z_b) s) = 2 z_a z_b s
        z_a, z_b = softmax(-x, x)
        x += 2 * z_a * z_b * change
    assert list(each.weights().values()) == pytest.approx(softmax(-x, x), abs=1e-15)


def test_large_lambda_goes_to_the_worst_task_and_small_lambda_to_the_stalled_one():
    # a is worst but improves by .05 a step; b is better and stands still.
    def weight_of_a(lam: float) -> float:
        weighting = ImprovementAware(lam=lam, improvement="surrogate").bind(["a", "b"])
        for _ in range(40):
            weighting.update(task_rewards={"a": 0.3, "b": 0.5}, improvements={"a": 0.05, "b": 0.0})
        return weighting.weights()["a"]

    assert weight_of_a(1.0) > 0.7  # .05 + .3 < .5
    assert weight_of_a(0.1) < 0.3  # .05 + .03 > .05


# ---- the released code, written again with torch -----------------------------------------------------------
class ReleasedInTorch:
    """Plain re-implementation: logits are a parameter, the loss is sum_k z_k s_k, torch.optim.Adam does the rest."""

    def __init__(self, tasks: Sequence[str], lam: float, clip: float, weight_decay: float) -> None:
        self.tasks, self.lam, self.clip = list(tasks), lam, clip
        self.reward = dict.fromkeys(tasks, 0.0)
        self.logits = torch.nn.Parameter(torch.zeros(len(tasks), dtype=torch.float64))
        self.optimizer = torch.optim.Adam(
            [self.logits], lr=0.025, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
        )

    def step(
        self, rounds: Sequence[Mapping[str, float]], minibatches: Sequence[Mapping[str, float]]
    ) -> list[float]:
        for observed in rounds:
            for task, accuracy in observed.items():
                self.reward[task] = 0.5 * self.reward[task] + 0.5 * accuracy
        for loss_drop in minibatches:
            scores = [
                max(-self.clip, min(self.clip, loss_drop.get(task, 0.0)))
                + self.lam * self.reward[task]
                for task in self.tasks
            ]
            self.optimizer.zero_grad()
            (
                torch.softmax(self.logits, 0) * torch.tensor(scores, dtype=torch.float64)
            ).sum().backward()
            self.optimizer.step()
        return torch.softmax(self.logits, 0).tolist()


@pytest.mark.parametrize(
    ("num_tasks", "lam", "clip", "weight_decay"), [(3, 0.2, 0.1, 1e-5), (9, 0.9, 0.2, 1e-4)]
)
def test_released_update_agrees_with_torch(num_tasks, lam, clip, weight_decay):
    rng = np.random.default_rng(num_tasks)
    tasks = [f"task-{i}" for i in range(num_tasks)]

    def some(low: float, high: float, present: float) -> dict[str, float]:
        return {task: float(rng.uniform(low, high)) for task in tasks if rng.random() < present}

    theirs = ReleasedInTorch(tasks, lam, clip, weight_decay)
    ours = ImprovementAware(
        lam=lam,
        improvement_clip=clip,
        weight_decay=weight_decay,
        reward_ema=0.5,
        reward_start=0.0,
        improvement="surrogate",
        updates="minibatch",
        optimizer="adam",
    ).bind(tasks)
    for _ in range(60):
        rounds = [some(0, 1, 0.8) for _ in range(int(rng.integers(1, 5)))]
        minibatches = [some(-0.3, 0.3, 0.7) for _ in range(4)]
        expected = theirs.step(rounds, minibatches)
        ours.update(task_rewards=rounds, improvements=minibatches)
        assert list(ours.weights().values()) == pytest.approx(expected, abs=1e-9)
    assert max(expected) - min(expected) > 0.05  # the weights have moved: agreement says something


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lam": -0.1}, "lam must be at least 0"),
        ({"lam": math.nan}, "lam must be at least 0"),
        ({"improvement_clip": 0.0}, "improvement_clip above 0"),
        ({"improvement_clip": math.nan}, "improvement_clip above 0"),
        ({"weight_lr": 0.0}, "weight_lr must be above 0"),
        ({"weight_lr": math.inf}, "weight_lr must be above 0"),
        ({"weight_decay": -1e-5}, "weight_decay at least 0"),
        ({"improvement": "reward"}, "did you mean 'rewards'"),
        ({"updates": "minibatches"}, "did you mean 'minibatch'"),
        ({"optimizer": "adamx"}, "did you mean 'adam'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ImprovementAware(**arguments)

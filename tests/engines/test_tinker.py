"""tinker-cookbook's group rollouts, rewards and advantages over the dataset; a policy of ours."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.test_engines_page import ACCEPTED, BATCH, SIZE, STEPS, Engine

types = pytest.importorskip("tinker_cookbook.rl.types", reason="tinker-cookbook is not installed")


def test_batches_have_the_mixers_shares(monkeypatch, tmp_path):
    import tinker
    from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs
    from tinker_cookbook.rl.data_processing import compute_advantages
    from tinker_cookbook.rl.rollouts import do_group_rollout

    dice = random.Random(1)

    class Policy(TokenCompleter):
        async def __call__(self, model_input, stop, *, max_tokens=None):
            return TokensWithLogprobs(tokens=[1], maybe_logprobs=[0.0])

    class Env(types.Env):
        def __init__(self, task):
            self.task = task

        async def initial_observation(self):
            return tinker.ModelInput.from_ints([1, 2]), []

        async def step(self, action, *, extra=None):
            if dice.random() < 0.01:
                raise RuntimeError("the sandbox is gone")
            return types.StepResult(
                reward=float(dice.random() < ACCEPTED[self.task] / 2),
                episode_done=True,
                next_observation=tinker.ModelInput.empty(),
                next_stop_condition=[],
            )

    class Builder(types.EnvGroupBuilder):
        def __init__(self, task):
            self.task = task

        async def make_envs(self):
            return [Env(self.task) for _ in range(SIZE)]

        async def compute_group_rewards(self, trajectory_group, env_group):
            return [(0.25, {}) for _ in trajectory_group]

    recipe = Engine(monkeypatch).run("tinker-cookbook")
    builders = {task: [Builder(task) for _ in range(9)] for task in ACCEPTED}
    folder = tmp_path / "mixers"
    dataset = recipe["TaskDataset"](builders, BATCH, STEPS, folder=folder)
    assert isinstance(dataset, types.RLDataset)

    async def step(index):
        groups = dataset.get_batch(index)
        rollouts = await asyncio.gather(
            *(do_group_rollout(group, Policy()) for group in groups), return_exceptions=True
        )
        return groups, rollouts

    num_failed = 0
    for index in range(len(dataset)):
        groups, rollouts = asyncio.run(step(index))
        quotas = dataset.rows.mixer.batch.quotas
        asked = Counter(group.task for group in groups)
        if num_failed == 0:
            assert asked == {task: n for task, n in quotas.items() if n}
        for task, quota in quotas.items():  # a spare prompt where groups have failed
            assert quota <= asked[task] <= quota + 1

        good = [r for r in rollouts if not isinstance(r, BaseException)]
        num_failed += len(rollouts) - len(good)
        for group, rollout in zip(groups, rollouts, strict=True):
            if not isinstance(rollout, BaseException):
                assert group.rewards == rollout.get_total_rewards()
        assert all(len(advantages) == SIZE for advantages in compute_advantages(good))
        assert groups[0].logging_tags() == [groups[0].task]

    assert num_failed > 0
    assert dataset.rows.mixer.step == STEPS - 1
    state = folder / f"mixer-{STEPS - 1}.json"
    resumed = recipe["TaskDataset"](builders, BATCH, STEPS, folder=folder, state=state)
    assert resumed.rows.mixer.weights() == dataset.rows.mixer.weights()

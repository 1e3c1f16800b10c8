"""An engine of dice and a shelf of mixers for the tests of the core."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from mtgrpo.core.acceptance import EmaAcceptance
from mtgrpo.core.batch import Batch
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import NeededRounds, OversampledRounds
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Cost, Group
from mtgrpo.core.weightings import SEC, Balanced, ImprovementAware, Regularized, Uniform

TASKS = ("countdown", "zebra_puzzles", "arc/1d")
RATES = {"countdown": 0.7, "zebra_puzzles": 0.5, "arc/1d": 0.2}

MIXED, WRONG, FORMAT, RIGHT = (0.0, 0.1, 1.0, 0.0), (0.0,) * 4, (0.0, 0.1, 0.1, 0.0), (1.0,) * 4


class Dice:
    """Rolls groups whose content depends on the task and its serial number alone."""

    def __init__(self, rates: Mapping[str, float], seed: int = 0) -> None:
        self.rates, self.seed = rates, seed
        self.serial: Counter[str] = Counter()

    def group(self, task: str) -> Group:
        """The task's next group."""
        number = self.serial[task]
        self.serial[task] += 1
        rng = random.Random(f"{self.seed} {number} {task}")
        rewards = MIXED if rng.random() < self.rates[task] else rng.choice([WRONG, FORMAT, RIGHT])
        rewards = tuple(rng.sample(rewards, 4))
        cost = Cost(tokens=rng.randint(1, 100) * (1 + list(self.rates).index(task)))
        return Group.verified(task, rewards, uid=f"{task}#{number}", cost=cost)

    def rollout(self, request: Mapping[str, int]) -> list[Group]:
        """All groups of a request, task by task."""
        return [self.group(task) for task, count in request.items() for _ in range(count)]


def fill(batch: Batch, dice: Dice, most_rounds: int = 50) -> int:
    """Ask and tell to the end; the number of rounds it took."""
    rounds = 0
    while request := batch.ask():
        rounds += 1
        assert rounds <= most_rounds, "the batch does not end"
        batch.tell(dice.rollout(request))
    return rounds


def _plain(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(
        group_filter="none", keep_shares=False, quota_rule="multinomial"
    )
    return TaskMixer(TASKS, batch_size=8, weighting=SEC(), sampler=sampler, seed=seed)


def _dapo(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(planner=OversampledRounds(max_inflation=1), keep_shares=False)
    return TaskMixer(TASKS, batch_size=8, weighting=Uniform(), sampler=sampler, seed=seed)


def _paper(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(
        quota_rule="multinomial",
        planner=OversampledRounds(),
        group_filter="strict",
        acceptance=EmaAcceptance(per="step"),
    )
    weighting = ImprovementAware(improvement="surrogate", reward_ema=0.0)
    return TaskMixer(
        TASKS, batch_size=8, weighting=weighting, sampler=sampler, task_reward="reward", seed=seed
    )


def _released(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(
        quota_rule="released",
        planner=OversampledRounds(max_inflation=1, refill="same_until_full"),
        group_filter="released_lenient",
        acceptance=EmaAcceptance(),
        max_resamples=9,
        shares_from_step=2,
    )
    weighting = ImprovementAware(
        improvement="surrogate",
        updates="minibatch",
        optimizer="adam",
        reward_start=0.0,
        lam=0.9,
        improvement_clip=0.2,
    )
    return TaskMixer(
        TASKS, batch_size=8, weighting=weighting, sampler=sampler, observe="round", seed=seed
    )


def _regularized(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(
        max_resamples=1, shortfall="smaller", planner=NeededRounds(0.8), quota_rule="released"
    )
    weighting = Regularized(reward_scale=0.2, updates="minibatch", reward_start=0.0)
    return TaskMixer(
        TASKS, batch_size=8, weighting=weighting, sampler=sampler, observe="round", seed=seed
    )


def _balanced(seed: int) -> TaskMixer:
    sampler = RatioPreservingSampler(
        planner=NeededRounds(0.9), max_staleness=2, max_prompts_per_group=12.0
    )
    return TaskMixer(TASKS, batch_size=8, weighting=Balanced(), sampler=sampler, seed=seed)


def _one_round(seed: int) -> TaskMixer:
    return TaskMixer(
        TASKS, batch_size=8, weighting=Balanced(), sampler=OneRoundSampler(), seed=seed
    )


def _one_round_of_tokens(seed: int) -> TaskMixer:
    sampler = OneRoundSampler(budget={"tokens": 500})
    return TaskMixer(TASKS, batch_size=8, weighting=Balanced(), sampler=sampler, seed=seed)


def _default(seed: int) -> TaskMixer:
    return TaskMixer(TASKS, batch_size=8, seed=seed)


SETUPS: Mapping[str, Callable[[int], TaskMixer]] = {
    "plain": _plain,
    "dapo": _dapo,
    "paper": _paper,
    "released": _released,
    "regularized": _regularized,
    "balanced": _balanced,
    "one round": _one_round,
    "one round of tokens": _one_round_of_tokens,
    "default": _default,
}

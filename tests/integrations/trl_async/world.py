"""A trainer and a rollout loop in virtual time: groups are late, out of order, fail, or are cancelled."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mtgrpo import Group, ImprovementAware, Method
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.prompts import PromptStream
from mtgrpo.integrations.trl_async.batches import BatchMaker, MadeBatch

GROUP, BATCH = 4, 8
LATENCIES = {"fast": 1.0, "slow": 8.0, "rare": 3.0}
ACCURACIES = {"fast": 0.5, "slow": 0.4, "rare": 0.1}


@dataclass(frozen=True)
class Sample:
    """What a batch needs of TRL's `RolloutSample`."""

    task: str
    number: int
    advantage: float
    completion_mask: np.ndarray = field(compare=False)


class World:
    """One trainer, `workers` rollouts at a time; a step takes the trainer two units of time."""

    def __init__(
        self,
        bounds=4,
        workers=24,
        failing=0.0,
        cancelled=0.0,
        seed=0,
        one_round=False,
        dead=(),
        remember=False,
    ):
        self.random = random.Random(seed)
        self.failing, self.cancelled, self.dead = failing, cancelled, dead
        self.workers = workers
        sampler = {"sampler": OneRoundSampler(), "loss_shares": True} if one_round else {}
        method = Method(ImprovementAware(lam=0.2), **sampler)
        mixer = method.make_mixer(list(LATENCIES), batch_size=BATCH, seed=seed)
        streams = {task: PromptStream(task, 500, seed, remember=remember) for task in LATENCIES}

        if not isinstance(bounds, dict):
            bounds = dict.fromkeys(LATENCIES, bounds)
        self.bounds = bounds
        self.maker = BatchMaker(
            RolloutLedger(mixer, streams),
            bounds,
            group_size=GROUP,
            rows_at_once=GROUP * BATCH // 2,
            scale_loss=one_round,
            version_at=lambda step: step + 1,
        )
        self.version, self.now = 1, 0.0
        self.events: list = []
        self.born: dict[int, int] = {}
        self.batches: list[MadeBatch] = []
        self.ages: list[tuple[str, int]] = []
        self.waiting = 0  # batches made and not trained on

    def run(self, steps: int, most_events: int = 60_000) -> None:
        self._push(2.0, "trained", None)
        for _ in range(most_events):
            if len(self.batches) >= steps:
                return
            self._fetch()
            self.now, _, kind, ticket = heapq.heappop(self.events)
            if kind == "trained":
                self._train()
            else:
                self._back(kind, ticket)
        raise AssertionError(f"{len(self.batches)} batches after {most_events} events")

    def _push(self, after: float, kind: str, ticket) -> None:
        heapq.heappush(self.events, (self.now + after, self.random.random(), kind, ticket))

    def _fetch(self) -> None:
        while len(self.events) - 1 < self.workers:
            ticket = self.maker.next_prompt(self.version)
            self.born[ticket.number] = self.version
            latency = LATENCIES[ticket.task] * self.random.lognormvariate(0, 0.6)
            chance = self.random.random()
            kind = "back"
            if ticket.task in self.dead or chance < self.failing:
                kind = "failed"
            elif chance < self.failing + self.cancelled:
                kind = "stale"
            self._push(latency, kind, ticket)

    def _train(self) -> None:
        if self.waiting:
            self.waiting -= 1
            self.version += 1
        self._push(2.0, "trained", None)

    def _back(self, kind: str, ticket) -> None:
        if kind != "back":
            self.maker.give_up(ticket.number, kind)
        else:
            self.maker.take(ticket.number, self._group(ticket))
        if self.waiting < 2 and self.maker.fill():
            self._keep(self.maker.make())

    def _group(self, ticket) -> Group:
        chance = ACCURACIES[ticket.task]
        rewards = [float(self.random.random() < chance) for _ in range(GROUP)]
        mean = sum(rewards) / GROUP
        samples = [
            Sample(ticket.task, ticket.number, r - mean, _mask(self.random.randint(1, 9), ticket))
            for r in rewards
        ]
        return Group.verified(ticket.task, rewards, payload=samples)

    def _keep(self, made: MadeBatch) -> None:
        self.batches.append(made)
        self.waiting += 1
        for sample in made.samples[::GROUP]:
            if any(s.advantage for s in made.samples if s.number == sample.number):
                self.ages.append((sample.task, made.step - self.born[sample.number]))

    def trained(self, made: MadeBatch) -> Counter:
        """Groups of each task among the samples of a batch."""
        return Counter(sample.task for sample in made.samples[::GROUP])


def _mask(trained: int, ticket) -> np.ndarray:
    """A mask with what a tool said between, which is not trained on: more in some tasks."""
    return np.repeat([1, 0], [trained, 2 * len(ticket.task)])

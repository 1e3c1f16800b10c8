"""What the parts of the trainer meet in place of TRL: no model, no tokens, rewards of dice."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch

from mtgrpo import RatioPreservingSampler, Uniform
from mtgrpo.core.method import Method
from mtgrpo.core.types import Group
from mtgrpo.integrations.trl.rollouts import RecordedRow, RolledOut, input_row
from mtgrpo.integrations.trl.schedule import Schedule
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.tasks import TaskSet

from .toy import make_tasks

GROUP = 4
SCHEDULE = Schedule(
    batch_size=8, group_size=GROUP, eval_group_size=2, accumulation=2, slices=4, cycle=4
)
RATES = {"easy": 0.9, "medium": 0.6, "hard": 0.3}


class Processes:
    """accelerate's Accelerator, as seen from one process of several that do the same."""

    device = torch.device("cpu")

    def __init__(self, num_processes: int = 1, process_index: int = 0) -> None:
        self.num_processes, self.process_index = num_processes, process_index
        self.num_waits = 0

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        return torch.cat([own] * self.num_processes)

    def reduce(self, own: torch.Tensor, reduction: str = "sum") -> torch.Tensor:
        assert reduction == "sum"
        return own * self.num_processes

    def wait_for_everyone(self) -> None:
        self.num_waits += 1


class Dice:
    """The trainer as a step sees it. A group's rewards depend on its prompt alone."""

    def __init__(
        self, tasks: TaskSet, rates: Mapping[str, float] | None = None, num_processes: int = 1
    ) -> None:
        self.tasks, self.rates = tasks, rates or RATES
        self.accelerator = Processes(num_processes)
        self.generates_whole_rounds, self.batch_is_used_up = False, True
        self.plans: list[list[tuple[str, int]]] = []
        self.logged: list[dict[str, float]] = []
        self.improvements: dict[str, float] = {}
        self.asked: list[int] = []

    def roll_out(
        self, plan: Sequence[tuple[str, int]], first_uid: int, size: int | None = None
    ) -> RolledOut:
        self.plans.append(list(plan))
        groups, prompts, completions = list[Group](), list[str](), list[str]()

        for place, (task, row) in enumerate(plan):
            rng = random.Random(f"{task} {row}")
            scores = (0.0,) * GROUP
            if rng.random() < self.rates[task]:
                scores = (1.0, *[0.0] * (GROUP - 1))

            inputs = input_row(task, row, self.tasks[task].train[row])
            payload = [RecordedRow(inputs, (), (score, score)) for score in scores]
            groups.append(Group(task, scores, scores, uid=first_uid + place, payload=payload))
            prompts += [inputs["prompt"]] * GROUP
            completions += [f"{task} {row} {i}" for i in range(GROUP)]

        return RolledOut(groups, prompts, completions)

    def log_probs(self, rows: Sequence[RecordedRow]) -> list[torch.Tensor]:
        self.asked.append(len(rows))
        return [torch.full((3,), float(i)) for i in range(len(rows))]

    def measure_improvements(self) -> dict[str, float]:
        return dict(self.improvements)

    def log_step(self, metrics: Mapping[str, float]) -> None:
        self.logged.append(dict(metrics))


def make_step(engine: Dice | None = None, method: Method | None = None, **others) -> TrainingStep:
    """A step over the toy tasks."""
    tasks = make_tasks() if engine is None else engine.tasks
    return TrainingStep(
        tasks,
        method or Method(Uniform(), RatioPreservingSampler()),
        others.pop("schedule", SCHEDULE),
        Dice(tasks) if engine is None else engine,
        SimpleNamespace(reason=str, take_metrics=dict),
        seed=3,
        **others,
    )

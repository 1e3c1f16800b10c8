"""A fixed toy engine: tasks whose chances of success are known, and groups rolled from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.prompts import PromptStream, remember_groups
from mtgrpo.core.types import Draw, Group

GROUP_SIZE = 8
SEED = 20260205

# Groups to train on until half of what a task can gain is gained.
HALFWAY = 300

# How often a wrong answer has the right format, and with it a reward of 0.1.
FORMAT_RATE = 0.6


class ToyTask(NamedTuple):
    """A task whose mean chance of success moves with training.

    Attributes:
        name: Unique name.
        family: Its family.
        num_prompts: Number of its prompts.
        start: Mean chance of success before any training.
        end: The mean after endless training.
    """

    name: str
    family: str
    num_prompts: int
    start: float
    end: float

    def chance(self, num_trained: int, row: int) -> float:
        """The chance that a completion of one prompt succeeds, after training on some groups."""
        mean = self.start + (self.end - self.start) * num_trained / (num_trained + HALFWAY)

        # The prompts' chances are spread evenly about the mean, as far as [0, 1] allows.
        spread = min(mean, 1 - mean, 0.45)
        return mean + spread * (2 * row / (self.num_prompts - 1) - 1)

    def stream(self, remember: bool) -> PromptStream:
        """Its prompts, from the first one on."""
        return PromptStream(self.name, self.num_prompts, SEED, remember=remember)


# Each set has tasks that are learned early and late, and one that training makes worse. Of the
# nine, one stays as it is, and one is hardly ever solved until it has been trained on for long.
TASKS: Mapping[str, tuple[ToyTask, ...]] = {
    "three_tasks": (
        ToyTask("countdown", "countdown", 40, 0.55, 0.98),
        ToyTask("zebra", "zebra", 47, 0.45, 0.25),
        ToyTask("arc", "arc", 54, 0.04, 0.60),
    ),
    "nine_tasks": (
        ToyTask("countdown-hard", "countdown", 58, 0.10, 0.80),
        ToyTask("zebra-hard", "zebra", 61, 0.02, 0.50),
        ToyTask("arc-hard", "arc", 64, 0.004, 0.30),
        ToyTask("countdown-medium", "countdown", 49, 0.40, 0.90),
        ToyTask("zebra-medium", "zebra", 52, 0.45, 0.15),
        ToyTask("arc-medium", "arc", 55, 0.15, 0.70),
        ToyTask("countdown-easy", "countdown", 40, 0.80, 1.00),
        ToyTask("zebra-easy", "zebra", 43, 0.60, 0.95),
        ToyTask("arc-easy", "arc", 46, 0.50, 0.50),
    ),
}


class ToyEngine:
    """Rolls out groups and trains on them.

    Its randomness is its own, so what it makes depends on nothing but the requests it gets.

    Args:
        tasks: What there is to learn.
        remember: Whether prompts that were all right or all wrong are asked again rarely.
        informs: Which groups carry a gradient, for that memory.
    """

    def __init__(self, tasks: Iterable[ToyTask], remember: bool, informs: GroupFilter) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.remember, self.informs = remember, informs

        self.streams = {name: task.stream(remember) for name, task in self.tasks.items()}

        self._rng = np.random.default_rng(SEED)
        self._num_rolled = Counter[str]()
        self._num_trained = Counter[str]()

    def roll_out(self, request: Mapping[str, int]) -> list[Group]:
        """All groups of a request, task by task."""
        prompts: list[tuple[ToyTask, Draw]] = []

        for name, count in request.items():
            prompts += [(self.tasks[name], draw) for draw in self.streams[name].draw(count)]

        chances = [task.chance(self._num_trained[task.name], draw.row) for task, draw in prompts]
        is_right = self._rng.random((len(prompts), GROUP_SIZE)) < np.array(chances)[:, None]
        has_format = self._rng.random((len(prompts), GROUP_SIZE)) < FORMAT_RATE
        rewards = np.where(is_right, 1.0, np.where(has_format, 0.1, 0.0))

        groups: list[Group] = []

        for (task, draw), *scores in zip(
            prompts,
            rewards.tolist(),
            is_right.astype(np.float64).tolist(),
            strict=True,
        ):
            uid = f"{task.name}#{self._num_rolled[task.name]}"
            self._num_rolled[task.name] += 1
            groups.append(Group(task.name, *map(tuple, scores), uid=uid, draw=draw))

        remember_groups(self.streams, groups, self.informs)
        return groups

    def train(
        self,
        groups: list[Group],
        step: int,
        num_minibatches: int,
        measure: bool,
    ) -> list[dict[str, float]]:
        """Learn from the groups of a step.

        Args:
            groups: What to train on.
            step: Number of the step, from 0 on.
            num_minibatches: Parts that the groups are trained on in.
            measure: Whether the improvements are wanted.

        Returns:
            For each minibatch the made-up improvements of its tasks, or an empty mapping.
        """
        self._num_trained.update(group.task for group in groups)

        improvements: list[dict[str, float]] = []

        for i in range(num_minibatches):
            trained = {group.task for group in groups[i::num_minibatches]} if measure else set()

            improvements.append(
                {
                    name: ((7 * step + 5 * i + 3 * k) % 11 - 5) / 40
                    for k, name in enumerate(self.tasks)
                    if name in trained
                }
            )

        return improvements

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes the next group, JSON-able."""
        return {
            "rng": self._rng.bit_generator.state,
            "num_rolled": dict(self._num_rolled),
            "num_trained": dict(self._num_trained),
            "streams": {name: stream.state_dict() for name, stream in self.streams.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._rng.bit_generator.state = state["rng"]
        self._num_rolled = Counter(state["num_rolled"])
        self._num_trained = Counter(state["num_trained"])

        for name, stream in self.streams.items():
            stream.load_state_dict(state["streams"][name])

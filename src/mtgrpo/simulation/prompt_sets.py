"""Finite sets of prompts for the toy policy, drawn as an engine draws them.

That is epoch by epoch, and with a memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.prompts import PromptStream, remember_groups
from mtgrpo.core.types import Draw, Floats, Group
from mtgrpo.errors import ConfigError
from mtgrpo.simulation.task import SimulatedTask, difficulty_quantiles
from mtgrpo.simulation.world import World


class PromptSets:
    """The prompts of the tasks that have a finite number of them.

    The difficulties of a task's n prompts are the n quantiles of its distribution, so every size
    and seed has the same mean, and only the order differs.

    Args:
        world: The tasks; those with `num_prompts` 0 have no set here.
        seed: Seed of the order.
        remember: Whether prompts that were all right or all wrong are passed over, see
            `PromptMemory`.

    Raises:
        ConfigError: `remember` for a world without finite sets.
    """

    def __init__(self, world: World, seed: int, remember: bool) -> None:
        finite = [task for task in world.tasks if task.num_prompts]
        if remember and not finite:
            raise ConfigError(
                "simulate: prompt_memory=True, but no task has num_prompts; without it each draw "
                "is a new prompt, and there is nothing to remember"
            )

        self._tasks = {task.name: task for task in finite}
        self._difficulty = {task.name: difficulties(task) for task in finite}
        self.streams = {
            task.name: PromptStream(task.name, task.num_prompts, seed, remember=remember)
            for task in finite
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {task.num_prompts}" for name, task in self._tasks.items())
        return f"PromptSets({{{sizes}}})"

    def __contains__(self, name: str) -> bool:
        return name in self.streams

    def draw(self, name: str, count: int) -> list[Draw]:
        """The next prompts of a task."""
        return self.streams[name].draw(count)

    def pass_rates(self, name: str, skill: float, rows: list[int] | None = None) -> Floats:
        """Probability of a correct completion of each prompt: of these rows, by default of all."""
        task = self._tasks[name]
        difficulty = self._difficulty[name]
        if rows is not None:
            difficulty = difficulty[rows]

        span = task.ceiling - task.floor
        return task.floor + span / (1.0 + np.exp(np.clip(difficulty - skill, -40, 40)))

    def note(self, groups: Iterable[Group], informs: GroupFilter) -> None:
        """Remember what came of the draws."""
        drawn_here = (group for group in groups if group.task in self.streams)
        remember_groups(self.streams, drawn_here, informs)

    def end_step(self) -> dict[str, int]:
        """Prompts passed over since the last call, of the tasks with a memory."""
        skipped: dict[str, int] = {}
        for name, stream in self.streams.items():
            if stream.memory is not None:
                skipped[name] = stream.memory.end_step().skipped

        return skipped


def difficulties(task: SimulatedTask) -> Floats:
    """Difficulties of the task's prompts, shape (num_prompts,)."""
    return task.spread * difficulty_quantiles(task.num_prompts)

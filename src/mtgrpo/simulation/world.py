"""What the toy policy has to learn: tasks, and how they move each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from mtgrpo.core.types import Floats, check_task_names
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.simulation.task import SimulatedTask, pass_rates
from mtgrpo.values import check_type


@dataclass(frozen=True)
class World:
    """Tasks and their coupling.

    Attributes:
        tasks: The tasks, at least one.
        transfer: ``transfer[j][k]``: how far a unit of training on task j moves the skill of task
            k, against a unit of training on k itself. Positive helps, negative interferes; the
            diagonal is 1. Empty: no coupling.
        format_learning_rate: Learning rate of the logit of a task's format skill, in the units of
            a task's learning rate.
        improvement_noise: Deviation of the measured loss change of one completion and minibatch.
    """

    tasks: tuple[SimulatedTask, ...]
    transfer: tuple[tuple[float, ...], ...] = ()
    format_learning_rate: float = 0.5
    improvement_noise: float = 0.003

    def __post_init__(self) -> None:
        check_task_names(self.names, "World")

        size = len(self.tasks)
        if self.transfer and np.shape(self.transfer) != (size, size):
            raise ConfigError(
                f"World: transfer has shape {np.shape(self.transfer)}; ({size}, {size}) is needed"
            )

        if self.format_learning_rate < 0 or self.improvement_noise < 0:
            raise ConfigError(
                "World: format_learning_rate and improvement_noise must be at least 0"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Task names, in order."""
        return tuple(task.name for task in self.tasks)

    def array(self, attribute: str) -> Floats:
        """One attribute of every task, shape (K,)."""
        return np.array([getattr(task, attribute) for task in self.tasks], dtype=np.float64)

    def transfer_matrix(self) -> Floats:
        """`transfer` as an array, shape (K, K)."""
        if not self.transfer:
            return np.eye(len(self.tasks))

        return np.array(self.transfer, dtype=np.float64)

    def pass_rates(self, skill: Floats) -> tuple[Floats, Floats]:
        """Pass rate of every prompt, and its derivative in the skill; shape (K, NUM_PROMPTS)."""
        floor = self.array("floor")[:, None]
        span = self.array("ceiling")[:, None] - floor
        return pass_rates(skill, self.array("spread"), floor, span)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON or YAML file."""
        tasks = [dataclasses.asdict(task) for task in self.tasks]
        return {**dataclasses.asdict(self), "tasks": tasks}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> World:
        """The world that `as_dict`, or a person, wrote.

        All keys but ``tasks`` and their ``name`` may be left out.

        Raises:
            ConfigError: An unknown or missing key, or an impossible value.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"World: {values!r}; a mapping with the key 'tasks' is needed")

        tasks = values.get("tasks")
        if not isinstance(tasks, Sequence) or not all(isinstance(task, Mapping) for task in tasks):
            raise ConfigError(
                f"World: tasks is {tasks!r}; a list of mappings with the key 'name' is needed"
            )

        world = dict(values)
        world["tasks"] = tuple(_make(SimulatedTask, "World: task", task) for task in tasks)
        world["transfer"] = _rows(values.get("transfer", ()))

        return _make(cls, "World", world)

    @classmethod
    def named(cls, name: str) -> World:
        """``"three_tasks"`` or ``"nine_tasks"``.

        Raises:
            ConfigError: Another name.
        """
        worlds = {"three_tasks": cls.three_tasks, "nine_tasks": cls.nine_tasks}
        if name not in worlds:
            raise ConfigError(unknown("World", "name", name, worlds))

        return worlds[name]()

    @classmethod
    def three_tasks(cls) -> World:
        """Shaped like the paper's medium levels.

        Zebra has no zero-gradient groups, ARC starts with nine in ten. Tuned by hand to the
        published worst and mean accuracies at 32 groups of 72; docs/simulate.md compares.
        """
        return cls(
            (
                SimulatedTask("countdown-medium", -5.0, 4.0, 0.13),
                SimulatedTask("zebra-medium", -2.1, 0.7, 0.032, floor=0.2, ceiling=0.82),
                SimulatedTask("arc-medium", -17.0, 15.0, 0.75),
            )
        )

    @classmethod
    def nine_tasks(cls) -> World:
        """Shaped like the paper's nine tasks: three families at three levels.

        Transfer is within a family. Tuned by hand to the published worst and mean accuracies at
        256 groups of 8; docs/simulate.md compares.
        """
        tasks: list[SimulatedTask] = []
        families: list[str] = []
        for family, levels in _NINE_TASKS.items():
            for level, values in levels.items():
                tasks.append(SimulatedTask(f"{family}-{level}", *values))
                families.append(family)

        same = np.array(families)[:, None] == np.array(families)  # (9, 9)
        transfer = np.where(same, 0.3, 0.0)
        np.fill_diagonal(transfer, 1.0)

        return cls(tuple(tasks), _rows(transfer))

    @classmethod
    def random(cls, seed: int, num_tasks: int) -> World:
        """Tasks of random difficulty, spread, speed, floor and ceiling, weakly coupled.

        The coupling is the Gram matrix of random unit vectors: what shared parameters give under
        plain gradient descent.
        """
        rng = np.random.default_rng(seed)

        tasks = tuple(
            SimulatedTask(
                f"task-{k}",
                skill=float(rng.uniform(-5, 0)),
                spread=float(rng.uniform(0.5, 5)),
                learning_rate=float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))),
                floor=float(rng.choice([0.0, 0.0, 0.1, 0.25])),
                ceiling=float(rng.uniform(0.8, 1.0)),
                format_skill=float(rng.uniform(0.3, 0.95)),
            )
            for k in range(num_tasks)
        )

        features = np.eye(num_tasks) + rng.normal(0, 0.1, (num_tasks, num_tasks))
        features /= np.linalg.norm(features, axis=1, keepdims=True)

        return cls(tasks, _rows(features @ features.T))


# family: level: skill, spread, learning rate, floor, ceiling
_NINE_TASKS = {
    "countdown": {
        "easy": (-2.0, 2.5, 0.35, 0.0, 1.0),
        "medium": (-4.0, 3.5, 0.35, 0.0, 1.0),
        "hard": (-7.0, 4.5, 0.35, 0.0, 1.0),
    },
    "zebra": {
        "easy": (-1.5, 0.8, 0.18, 0.3, 0.95),
        "medium": (-2.3, 0.8, 0.16, 0.22, 0.85),
        "hard": (-3.0, 0.8, 0.14, 0.16, 0.7),
    },
    "arc": {
        "easy": (-11.0, 11.0, 2.4, 0.0, 1.0),
        "medium": (-15.0, 12.0, 2.2, 0.0, 1.0),
        "hard": (-18.0, 13.0, 2.0, 0.0, 1.0),
    },
}


def _rows(matrix: Iterable[Iterable[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)


def _make(kind: type[Any], where: str, values: Mapping[str, Any]) -> Any:
    """An object of a dataclass from plain values, their keys and types checked."""
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ConfigError(unknown(where, "key", key, hints))
    if "name" in hints and "name" not in values:
        raise ConfigError(f"{where}: {dict(values)!r} has no name; every task needs one")

    checked = {k: check_type(v, hints[k], f"{where}: {k}") for k, v in values.items()}
    return kind(**checked)

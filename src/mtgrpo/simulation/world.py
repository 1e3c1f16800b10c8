"""What the toy policy has to learn: tasks, and how they move each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, get_type_hints

import numpy as np

from mtgrpo.core.quotas import Floats
from mtgrpo.core.types import check_task_names
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import check_type

NUM_PROMPTS = 64  # quantiles that stand for a task's prompts; 64 put the mean accuracy within .001 of the integral


@dataclass(frozen=True)
class SimulatedTask:
    """One task: a completion of a prompt of difficulty d is correct with probability
    ``floor + (ceiling - floor) sigmoid(skill - d)``, and d is normal with mean 0 and deviation `spread`.

    Attributes:
        name: Task name.
        skill: Skill at the start, in logits.
        spread: Deviation of prompt difficulty, in logits. A large one makes most groups all right or all wrong.
        learning_rate: Logits of skill per step from a batch that consists of this task with a signal of 1.
        floor: Pass rate without any skill (guessing).
        ceiling: Pass rate with unlimited skill.
        format_skill: Probability at the start that a wrong answer is well-formed and earns 0.1.
        forgetting: Share of the skill gained so far that a step without any group of this task takes away.
        num_prompts: Size of its set of prompts, which are asked epoch by epoch; 0: each prompt is a new one.
    """

    name: str
    skill: float = -1.0
    spread: float = 2.0
    learning_rate: float = 0.1
    floor: float = 0.0
    ceiling: float = 1.0
    format_skill: float = 0.7
    forgetting: float = 0.0
    num_prompts: int = 0

    def __post_init__(self) -> None:
        where = f"SimulatedTask {self.name!r}"
        if not 0 <= self.floor < self.ceiling <= 1:
            raise ConfigError(
                f"{where}: floor={self.floor}, ceiling={self.ceiling}; 0 <= floor < ceiling <= 1"
            )
        if self.spread < 0 or self.learning_rate < 0 or not 0 <= self.forgetting <= 1:
            raise ConfigError(
                f"{where}: spread={self.spread}, learning_rate={self.learning_rate}, forgetting={self.forgetting}; "
                "spread and learning_rate must be at least 0, forgetting in [0, 1]"
            )
        if self.num_prompts < 0:
            raise ConfigError(f"{where}: num_prompts={self.num_prompts}; it must be at least 0")
        if not 0 < self.format_skill < 1:
            raise ConfigError(
                f"{where}: format_skill={self.format_skill}; it must be above 0 and below 1"
            )


@dataclass(frozen=True)
class World:
    """Tasks and their coupling.

    Attributes:
        tasks: At least one.
        transfer: ``transfer[j][k]``: how far a unit of training on task j moves the skill of task k, against a
            unit of training on k itself. Positive helps, negative interferes; the diagonal is 1. Empty: no coupling.
        format_learning_rate: As a task's learning rate, for the logit of its format skill.
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
        return (
            np.array(self.transfer, dtype=np.float64) if self.transfer else np.eye(len(self.tasks))
        )

    def pass_rates(self, skill: Floats) -> tuple[Floats, Floats]:
        """Pass rate of every prompt, and its derivative in the skill; both of shape (K, NUM_PROMPTS)."""
        floor, span = (
            self.array("floor")[:, None],
            (self.array("ceiling") - self.array("floor"))[:, None],
        )
        return pass_rates(skill, self.array("spread"), floor, span)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON or YAML file."""
        return {
            **dataclasses.asdict(self),
            "tasks": [dataclasses.asdict(task) for task in self.tasks],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> World:
        """The world that `as_dict` wrote, or a person: all keys but ``tasks`` and their ``name`` may be left out.

        Raises:
            ConfigError: An unknown or missing key, or a value that cannot be.
        """
        tasks = values.get("tasks")
        if not isinstance(tasks, Sequence) or not all(isinstance(task, Mapping) for task in tasks):
            raise ConfigError(
                f"World: tasks is {tasks!r}; a list of mappings with the key 'name' is needed"
            )
        transfer = tuple(tuple(float(v) for v in row) for row in values.get("transfer", ()))
        rest = {k: v for k, v in values.items() if k not in ("tasks", "transfer")}
        return _make(
            cls,
            "World",
            {
                "tasks": tuple(_make(SimulatedTask, "World: task", t) for t in tasks),
                **rest,
                "transfer": transfer,
            },
        )

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
        """Shaped like the paper's medium levels: Zebra has no zero-gradient groups, ARC starts with nine in ten.

        Tuned by hand to the published worst and mean accuracies at 32 groups of 72; docs/simulate.md compares.
        """
        return cls(
            (
                SimulatedTask("countdown-medium", skill=-5.0, spread=4.0, learning_rate=0.13),
                SimulatedTask(
                    "zebra-medium",
                    skill=-2.1,
                    spread=0.7,
                    learning_rate=0.032,
                    floor=0.2,
                    ceiling=0.82,
                ),
                SimulatedTask("arc-medium", skill=-17.0, spread=15.0, learning_rate=0.75),
            )
        )

    @classmethod
    def nine_tasks(cls) -> World:
        """Shaped like the paper's nine tasks: three families at three levels, transfer within a family.

        Tuned by hand to the published worst and mean accuracies at 256 groups of 8; docs/simulate.md compares.
        """
        # family: one row per level of (skill, spread, learning rate, floor, ceiling)
        table = {
            "countdown": (
                (-2.0, 2.5, 0.35, 0.0, 1.0),
                (-4.0, 3.5, 0.35, 0.0, 1.0),
                (-7.0, 4.5, 0.35, 0.0, 1.0),
            ),
            "zebra": (
                (-1.5, 0.8, 0.18, 0.3, 0.95),
                (-2.3, 0.8, 0.16, 0.22, 0.85),
                (-3.0, 0.8, 0.14, 0.16, 0.7),
            ),
            "arc": (
                (-11.0, 11.0, 2.4, 0.0, 1.0),
                (-15.0, 12.0, 2.2, 0.0, 1.0),
                (-18.0, 13.0, 2.0, 0.0, 1.0),
            ),
        }
        levels = ("easy", "medium", "hard")
        tasks = tuple(
            SimulatedTask(f"{family}-{level}", *row)
            for family, rows in table.items()
            for level, row in zip(levels, rows, strict=True)
        )
        families = [family for family in table for _ in levels]
        transfer = tuple(
            tuple(1.0 if j == k else 0.3 if a == b else 0.0 for k, b in enumerate(families))
            for j, a in enumerate(families)
        )
        return cls(tasks, transfer)

    @classmethod
    def random(cls, seed: int, num_tasks: int) -> World:
        """Tasks of random difficulty, spread, speed, floor and ceiling, weakly coupled.

        The coupling is the Gram matrix of random unit vectors: what shared parameters give under plain gradient
        descent.
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
        return cls(tasks, tuple(tuple(float(v) for v in row) for row in features @ features.T))


def pass_rates(skill: Floats, spread: Floats, floor: Floats, span: Floats) -> tuple[Floats, Floats]:
    """Pass rates at the quantiles of difficulty, and their derivatives; skill and spread of shape (K,)."""
    sigmoid = 1.0 / (1.0 + np.exp(np.clip(np.outer(spread, QUANTILES) - skill[:, None], -40, 40)))
    return floor + span * sigmoid, span * sigmoid * (1 - sigmoid)


def _make(kind: type[Any], where: str, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ConfigError(unknown(where, "key", key, hints))
    if "name" in hints and "name" not in values:
        raise ConfigError(f"{where}: {dict(values)!r} has no name; every task needs one")
    return kind(
        **{key: check_type(value, hints[key], f"{where}: {key}") for key, value in values.items()}
    )


def _quantiles() -> Floats:
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / NUM_PROMPTS) for i in range(NUM_PROMPTS)])


QUANTILES = _quantiles()

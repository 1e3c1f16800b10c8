"""Random simulated settings on which methods are compared: tasks, coupling, batch size, steps.

Settings are numbered. Defaults were tuned on numbers below 1000 (TUNING) and are reported on others
(REPORTED).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgrpo.simulation import SimulatedTask, World

TUNING = range(40)
REPORTED = range(1000, 1060)


@dataclass(frozen=True)
class Setting:
    number: int
    world: World
    steps: int
    batch_size: int
    group_size: int


def random_setting(number: int) -> Setting:
    """The setting of that number: 3, 4, 9 or 20 tasks in turn, everything else drawn.

    Start accuracies of .02 to .6 above the guess floor, difficulties that are alike or differ by
    far, ceilings of .6 to 1, speeds that differ twentyfold, weak random transfer and interference,
    in half the settings families that help each other and in half of them forgetting.
    """
    rng = np.random.default_rng([20260602, number])
    num_tasks = (3, 4, 9, 20)[number % 4]

    families = np.arange(num_tasks)
    if rng.random() < 0.5:
        families = rng.integers(0, max(2, num_tasks // 3), num_tasks)

    forgets = rng.random() < 0.5
    steps = int(rng.choice([150, 300, 600]))

    # Speeds are drawn for a run of so many steps and tasks: more tasks have the budget they need.
    speed = num_tasks / 3 * 300 / steps
    tasks = tuple(_task(rng, k, speed, forgets) for k in range(num_tasks))
    batch_size = int(rng.choice([16, 32, 64]))
    group_size = int(rng.choice([8, 16]))

    return Setting(number, World(tasks, _transfer(rng, families)), steps, batch_size, group_size)


def _task(rng: np.random.Generator, k: int, speed: float, forgets: bool) -> SimulatedTask:
    spread = _log_uniform(rng, 0.5, 12.0)
    start = _log_uniform(rng, 0.02, 0.6)

    # A logistic of a normal difficulty is close to a logistic that is stretched by this factor.
    skill = float(np.log(start / (1 - start)) * np.sqrt(1 + 0.35 * spread**2))

    return SimulatedTask(
        f"task-{k}",
        skill=skill,
        spread=spread,
        learning_rate=speed * _log_uniform(rng, 0.05, 1.0) * (1 + spread / 4),
        floor=float(rng.choice([0.0, 0.0, 0.1, 0.25])),
        ceiling=float(rng.uniform(0.6, 1.0)),
        format_skill=float(rng.uniform(0.3, 0.95)),
        forgetting=_log_uniform(rng, 1e-4, 2e-3) if forgets else 0.0,
    )


def _transfer(rng: np.random.Generator, families: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Gram matrix of random unit vectors, nearer to each other within a family.

    They make a little transfer and a little interference.
    """
    size = len(families)
    features = np.eye(size) + rng.normal(0, 0.1, (size, size))

    shared = rng.normal(0, 1, (size, 8))
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    if len(set(families.tolist())) < size:
        features = np.hstack([features, 0.6 * shared[families]])

    features /= np.linalg.norm(features, axis=1, keepdims=True)

    return tuple(tuple(row) for row in (features @ features.T).tolist())


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

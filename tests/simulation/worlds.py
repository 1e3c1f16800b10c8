"""Worlds and groups for the tests of the simulator."""

from __future__ import annotations

import json

import numpy as np

from mtgrpo.core.types import Group
from mtgrpo.simulation import SimulatedTask, SimulationResult, World
from mtgrpo.simulation.policy import ToyPolicy

STILL = World(  # learns nothing: every rate stays what it is
    (
        SimulatedTask("easy", skill=1.0, spread=1.0, learning_rate=0.0),
        SimulatedTask("middle", skill=-1.0, spread=3.0, learning_rate=0.0, floor=0.1, ceiling=0.9),
        SimulatedTask("hard", skill=-6.0, spread=4.0, learning_rate=0.0),
    ),
    format_learning_rate=0.0,
)


def roll_out(toy: ToyPolicy, request: dict[str, int]) -> list[Group]:
    groups, copies = toy.draw(request)
    return [groups[i] for i in copies]


def policy(world: World, group_size: int = 8, seed: int = 0) -> ToyPolicy:
    return ToyPolicy(world, group_size, np.random.default_rng(seed))


def groups(task: str, *counts: tuple[int, int], size: int = 8) -> list[Group]:
    """Groups by (number correct, number of well-formed wrong ones)."""
    return [
        Group.verified(
            task, (1.0,) * c + (0.1,) * w + (0.0,) * (size - c - w), payload=c * (size + 1) + w
        )
        for c, w in counts
    ]


def acceptance(world: World, group_size: int) -> np.ndarray:
    rates, _ = world.pass_rates(world.array("skill"))
    return 1 - (rates**group_size + (1 - rates) ** group_size).mean(axis=1)


def write_run(path, run: SimulationResult) -> None:
    (path / "run.json").write_text(json.dumps({"version": 1, "tasks": list(run.tasks)}))
    (path / "config.yaml").write_text(
        f"group_size: {run.group_size}\nsampler: {{group_filter: {run.group_filter}}}\n"
    )
    with open(path / "metrics.jsonl", "w") as file:
        for t in range(run.steps):
            line: dict[str, float] = {
                "step": t + 1,
                "rollouts": int(run.rollouts[t + 1]),
                "elapsed_s": 0.0,
            }
            for k, name in enumerate(run.tasks):
                line[f"task/{name}/num_generated"] = int(run.generated[t, k])
                line[f"task/{name}/realized_ratio"] = float(run.realized[t, k])
                if run.generated[t, k]:
                    accuracy = float(run.observed[t, k])
                    line[f"task/{name}/accuracy"] = accuracy
                    line[f"task/{name}/reward"] = accuracy + 0.05 * (1 - accuracy)
                    line[f"task/{name}/acceptance_rate"] = float(
                        run.informative[t, k] / run.generated[t, k]
                    )
            file.write(json.dumps(line) + "\n")

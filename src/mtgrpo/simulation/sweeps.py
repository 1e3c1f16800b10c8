"""One parameter, many values, several seeds: what it trades."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mtgrpo import presets
from mtgrpo.core.types import Floats
from mtgrpo.errors import ConfigError, counted, unknown
from mtgrpo.simulation.loop import simulate
from mtgrpo.simulation.world import World

Value: TypeAlias = "float | int | str | bool | None"

ARGUMENTS = ("preset", "variant", "steps", "batch_size", "group_size", "updates_per_step")
"""Arguments of `simulate` that may be swept as they are."""


@dataclass(frozen=True, repr=False)
class Sweep:
    """Final figures of every run of a sweep; arrays have shape (values, seeds).

    Attributes:
        tasks: Task names.
        preset: Name of the method.
        parameter: Name of what was varied, as given.
        values: Values it was given.
        seeds: Seeds of the runs; the same for every value, so that differences are paired.
        accuracy: True accuracy per task at the end, shape (values, seeds, K).
        rollouts: Completions generated.
        steps_to: Steps until the worst task reached `threshold`; NaN if it never did.
        threshold: Worst-task accuracy that `steps_to` refers to.
    """

    tasks: tuple[str, ...]
    preset: str
    parameter: str
    values: tuple[Value, ...]
    seeds: tuple[int, ...]
    accuracy: Floats
    rollouts: Floats
    steps_to: Floats
    threshold: float

    def __repr__(self) -> str:
        return (
            f"Sweep(preset={self.preset!r}, parameter={self.parameter!r}, "
            f"values={self.values!r}, seeds={self.seeds!r})"
        )

    @property
    def worst_accuracy(self) -> Floats:
        """Accuracy of the worst task at the end, shape (values, seeds)."""
        return self.accuracy.min(axis=2)

    @property
    def mean_accuracy(self) -> Floats:
        """Mean accuracy of the tasks at the end, shape (values, seeds)."""
        return self.accuracy.mean(axis=2)

    def rows(self) -> list[dict[str, Any]]:
        """One JSON-able row per value: means over seeds, and errors of the two accuracies.

        ``steps_to`` is the mean over the seeds that got there (None if none did), ``reached`` their
        share.
        """
        rows: list[dict[str, Any]] = []

        for i, value in enumerate(self.values):
            worst, mean = self.worst_accuracy[i], self.mean_accuracy[i]
            reached = ~np.isnan(self.steps_to[i])
            steps_to = None
            if reached.any():
                steps_to = float(self.steps_to[i][reached].mean())

            of_tasks = self.accuracy[i].mean(axis=0).tolist()
            rows.append(
                {
                    self.parameter: value,
                    "worst_accuracy": float(worst.mean()),
                    "worst_accuracy_se": standard_error(worst),
                    "mean_accuracy": float(mean.mean()),
                    "mean_accuracy_se": standard_error(mean),
                    "rollouts": float(self.rollouts[i].mean()),
                    "steps_to": steps_to,
                    "reached": float(reached.mean()),
                    "tasks": dict(zip(self.tasks, of_tasks, strict=True)),
                }
            )

        return rows


def sweep(
    world: World,
    preset: str,
    parameter: str,
    values: Sequence[Value],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    steps: int = 720,
    batch_size: int = 32,
    group_size: int = 8,
    variant: str = "default",
    setting: str | None = None,
    threshold: float = 0.5,
    processes: int = 1,
) -> Sweep:
    """Simulate every value with every seed.

    Args:
        world: What there is to learn.
        preset: Name of the method; ignored when `parameter` is ``"preset"``.
        parameter: An argument of the preset's weighting (``"lam"``, ``"eta"``) or sampler
            (``"max_resamples"``, ``"planner.max_inflation"``), or one of `ARGUMENTS`.
        values: Values that it is set to.
        seeds: Seeds of the runs.
        steps: Training steps.
        batch_size: Groups per step.
        group_size: Completions per group.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting whose hyper-parameters are taken; None takes the one nearer in
            number of tasks.
        threshold: Worst-task accuracy whose step is looked for.
        processes: Worker processes. They are spawned: above 1, a script that calls this needs the
            usual ``if __name__ == "__main__":``.

    Raises:
        ConfigError: No values or seeds, or a parameter the method does not have.
    """
    if not values or not seeds:
        raise ConfigError(
            f"sweep: {counted(len(values), 'value')}, {counted(len(seeds), 'seed')}; at least "
            "one of each is needed"
        )

    common: dict[str, Any] = {
        "preset": preset,
        "steps": steps,
        "batch_size": batch_size,
        "group_size": group_size,
        "variant": variant,
        "setting": setting or presets.nearest_setting(len(world.tasks)),
    }

    jobs: list[tuple[World, dict[str, Any], float]] = []
    for value in values:
        arguments = {**common, **_placed(common, parameter, value)}
        jobs += [(world, {**arguments, "seed": seed}, threshold) for seed in seeds]

    if processes > 1:
        # Spawned on every platform: forking a process with threads (torch, BLAS) can hang.
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            ends = list(pool.map(_end, jobs))
    else:
        ends = [_end(job) for job in jobs]

    accuracy, rollouts, steps_to = zip(*ends, strict=True)
    shape = (len(values), len(seeds))

    return Sweep(
        tasks=world.names,
        preset=preset,
        parameter=parameter,
        values=tuple(values),
        seeds=tuple(seeds),
        accuracy=np.array(accuracy, dtype=np.float64).reshape(*shape, len(world.tasks)),
        rollouts=np.array(rollouts, dtype=np.float64).reshape(shape),
        steps_to=np.array(steps_to, dtype=np.float64).reshape(shape),
        threshold=threshold,
    )


def standard_error(values: Floats) -> float:
    """Standard error of a mean over seeds; 0 for a single seed, where it is not known."""
    if len(values) < 2:
        return 0.0

    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _end(job: tuple[World, dict[str, Any], float]) -> tuple[list[float], int, float]:
    """Final accuracies, rollouts, and steps to the threshold of one run."""
    world, arguments, threshold = job
    result = simulate(world, **arguments)

    reached = result.steps_to(threshold)
    steps_to = float("nan") if reached is None else float(reached)

    return result.accuracy[-1].tolist(), int(result.rollouts[-1]), steps_to


def _placed(common: dict[str, Any], parameter: str, value: Value) -> dict[str, Any]:
    """The argument of `simulate` that sets this parameter."""
    if parameter in ARGUMENTS:
        return {parameter: value}

    variant, setting = common["variant"], common["setting"]
    method = presets.get(common["preset"], variant=variant, setting=setting).as_dict()
    weighting, sampler = method["weighting"], method["sampler"]
    planners = {name: value for name, value in sampler.items() if isinstance(value, dict)}

    outer, _, inner = parameter.partition(".")
    if inner in planners.get(outer, {}):
        return {"sampler": {outer: {inner: value}}}
    if parameter in weighting and parameter != "rule":
        return {"weighting": {parameter: value}}
    if parameter in sampler:
        return {"sampler": {parameter: value}}

    allowed = [*ARGUMENTS, *(name for name in weighting if name != "rule"), *sampler]
    for name, planner in planners.items():
        allowed += [f"{name}.{argument}" for argument in planner]

    where = f"sweep of {common['preset']}"
    raise ConfigError(unknown(where, "parameter", parameter, allowed, most=40))

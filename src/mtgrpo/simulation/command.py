"""What ``mtgrpo simulate`` computes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo.errors import ConfigError, MtgrpoError
from mtgrpo.runlog import Run, read_run
from mtgrpo.simulation.fitting import fit, fit_errors
from mtgrpo.simulation.least import efficiency
from mtgrpo.simulation.loop import simulate
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.sweeps import Sweep, sweep
from mtgrpo.simulation.world import World
from mtgrpo.tasks.specs import build_task
from mtgrpo.yaml_text import read_yaml


@dataclass(frozen=True)
class SimulationOutcome:
    """What a call computed.

    Attributes:
        world: The simulated tasks.
        runs: One list of runs per method, a run per seed; empty for a sweep.
        sweep: The sweep, when one was asked for.
        fit_errors: Root mean square error of the fit per task, when the world was fitted to a run.
        common_accuracy: What the worst task of every run reached; NaN for a sweep.
        efficiency: eta of each method: the least possible rollouts to that, over those it took; NaN
            where nothing was needed.
    """

    world: World
    runs: dict[str, list[SimulationResult]]
    sweep: Sweep | None
    fit_errors: dict[str, float]
    common_accuracy: float
    efficiency: dict[str, float]


def run_simulation(
    *,
    world: str,
    fit_to: str | None,
    floors: Sequence[str] = (),
    presets: Sequence[str],
    variant: str,
    steps: int,
    batch_size: int | None,
    group_size: int | None,
    num_seeds: int,
    sweep_over: str | None,
    probes: bool = False,
) -> SimulationOutcome:
    """Simulate methods on a world, or sweep one argument of one method.

    Args:
        world: Name of a built-in world, or a YAML file as `World.as_dict` writes it.
        fit_to: Run directory to fit the world to; `world` is then ignored.
        floors: ``task=accuracy`` each: guess floors for the fit, over those that the run's own
            tasks are known to have.
        presets: Names of the methods.
        variant: Variant of the presets.
        steps: Training steps.
        batch_size: Groups per step; None takes the fitted run's, or 32.
        group_size: Completions per group; None takes the fitted run's, or 8.
        num_seeds: Seeds 0 to ``num_seeds - 1``.
        sweep_over: ``name=a,b,c``.
        probes: Whether large groups are generated in parts, see `mtgrpo.core.probes`.

    Raises:
        ConfigError: Unknown names, numbers below 1, floors without a run, or a sweep of another
            form.
        RunError: The run to fit cannot be read.
    """
    if min(steps, num_seeds, batch_size or 1) < 1 or (group_size or 2) < 2:
        raise ConfigError(
            "simulate: steps, seeds and batch size must be at least 1, the group size at least 2"
        )

    errors: dict[str, float] = {}

    if fit_to is not None:
        run = read_run(fit_to)
        batch_size = batch_size or run.config.get("batch_size")
        group_size = group_size or run.config.get("group_size")
        chosen = fit(run, {**known_floors(run), **_floors(floors)})
        errors = fit_errors(chosen, run)
    elif floors:
        raise ConfigError(
            "simulate: --floor belongs to a fit (--fit RUN); a world's YAML has floors of its own"
        )
    else:
        chosen = _world(world)

    common: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size or 32,
        "group_size": group_size or 8,
        "variant": variant,
    }
    seeds = range(num_seeds)

    if sweep_over is not None:
        if probes:
            raise ConfigError("simulate: --probes does not go with --sweep; leave one of them out")
        if len(presets) != 1:
            raise ConfigError(f"simulate: --sweep varies one method; {len(presets)} were given")

        parameter, values = _sweep_values(sweep_over)
        table = sweep(chosen, presets[0], parameter, values, seeds, **common)
        return SimulationOutcome(chosen, {}, table, errors, math.nan, {})

    if probes:
        common["sampler"] = {"probes": "auto"}
    runs: dict[str, list[SimulationResult]] = {}
    for preset in presets:
        runs[preset] = [simulate(chosen, preset, seed=seed, **common) for seed in seeds]

    ends = [float(run.worst_accuracy[-1]) for each in runs.values() for run in each]
    reached = min(ends, default=math.nan)
    etas = {preset: efficiency(chosen, each, reached) for preset, each in runs.items()}
    return SimulationOutcome(chosen, runs, None, errors, reached, etas)


def known_floors(run: Run) -> dict[str, float]:
    """Guess floors of a run's tasks, as far as its configuration alone tells them.

    No data is loaded, no code run.
    """
    listed = run.config.get("tasks")
    specs = [s for s in listed if isinstance(s, Mapping)] if isinstance(listed, list) else []
    floors: dict[str, float] = {}

    for i, spec in enumerate(specs):
        if "tiny" in spec or "paper" in spec:
            with suppress(MtgrpoError):  # an extra that is not installed here
                for task in build_task(spec, f"{run.path}: tasks[{i}]"):
                    floors[task.name] = task.floor
        elif "floor" in spec and len(specs) == len(run.tasks):
            floors[run.tasks[i]] = float(spec["floor"])

    return {name: floor for name, floor in floors.items() if name in run.tasks}


def _floors(given: Sequence[str]) -> dict[str, float]:
    floors: dict[str, float] = {}

    for text in given:
        name, equals, value = text.rpartition("=")

        try:
            floors[name] = float(value)
        except ValueError:
            equals = ""

        if not equals or not name:
            raise ConfigError(
                f"simulate: --floor {text}; the form is task=accuracy, such as zebra-medium=0.25"
            )

    return floors


def _world(name: str) -> World:
    path = Path(name)
    if path.is_file():
        return World.from_dict(read_yaml(path))

    if path.suffix or len(path.parts) > 1:
        raise ConfigError(
            f"{name}: no such file; give a world's YAML file, three_tasks or nine_tasks"
        )
    return World.named(name)


def _sweep_values(text: str) -> tuple[str, list[float]]:
    name, equals, values = text.partition("=")

    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        numbers = []

    if not equals or not name or not numbers:
        raise ConfigError(
            f"simulate: --sweep {text}; the form is name=a,b,c with numbers, "
            "such as lam=0.1,0.2,0.4"
        )

    return name, numbers

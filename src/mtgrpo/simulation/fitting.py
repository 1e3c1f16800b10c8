"""From a finished run to a world: enough to ask "what if"."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mtgrpo.core.quotas import Floats
from mtgrpo.errors import ConfigError, RunError, unknown
from mtgrpo.runlog import Run
from mtgrpo.simulation.observations import Observations
from mtgrpo.simulation.policy import group_signals, outcome_table
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.world import SimulatedTask, World, pass_rates

# Deviation of one group's mean accuracy and of one group's acceptance, generously: turns residuals into sigmas.
GROUP_DEVIATION = 0.4
NUM_GRID = 61


def fit(
    run: Run | SimulationResult | Observations, floors: Mapping[str, float] | None = None
) -> World:
    """A world whose tasks, trained on a run's shares, show the run's accuracies and acceptance rates.

    Each task is fitted by itself (no transfer): start skill, spread, learning rate and ceiling, by damped least
    squares from several starts, with weak priors for what the run does not show.

    Args:
        run: From `mtgrpo.runlog.read_run`; or a simulated run, of which only what a real one logs is used.
        floors: Guess floor of each task; 0 for those left out.

    Raises:
        RunError: A task with fewer than five logged steps.
        ConfigError: A floor of an unknown task, or outside [0, 1).
    """
    observations, floors = _observations(run), floors or {}
    for name, floor in floors.items():
        if name not in observations.tasks:
            raise ConfigError(unknown("fit: floors", "task", name, observations.tasks))
        if not 0 <= floor < 1:
            raise ConfigError(f"fit: floors[{name!r}] is {floor}; it must be in [0, 1)")
    tasks = list[SimulatedTask]()
    for k, name in enumerate(observations.tasks):
        floor = floors.get(name, 0.0)
        curve = _Curve(observations, k, floor)
        skill, spread, rate, ceiling = curve.parameters(curve.best())
        formatted = float(observations.format_skill[k])
        tasks.append(SimulatedTask(name, skill, spread, rate, floor, ceiling, formatted))
    return World(tuple(tasks))


def fit_errors(world: World, run: Run | SimulationResult | Observations) -> dict[str, float]:
    """Root mean square error of each task's accuracy curve, replayed without noise on the run's shares.

    Raises:
        RunError: As `fit`.
    """
    observations = _observations(run)
    errors: dict[str, float] = {}
    for k, task in enumerate(world.tasks):
        curve = _Curve(observations, k, task.floor)
        predicted, _ = curve.replay(task.skill, task.spread, task.learning_rate, task.ceiling)
        missed = (predicted - curve.accuracy)[curve.seen]
        errors[task.name] = float(
            np.sqrt(np.average(missed**2, weights=curve.generated[curve.seen]))
        )
    return errors


def _observations(run: Run | SimulationResult | Observations) -> Observations:
    if isinstance(run, SimulationResult):
        return Observations.of_result(run)
    return run if isinstance(run, Observations) else Observations.of_run(run)


class _Curve:
    """One task's observations, and its replay under given parameters.

    A point of the search is (start skill in units of the spread, log spread, log rate, logit of the ceiling's
    place between floor and 1).
    """

    PRIOR_MEAN = np.array([0.0, np.log(2.0), np.log(0.2), 3.0])
    PRIOR_SCALE = np.array([4.0, 1.0, 2.0, 1.5])

    def __init__(self, observations: Observations, k: int, floor: float) -> None:
        self.floor, self.size, self.filtered = floor, observations.group_size, observations.filtered
        self.accuracy, self.acceptance = observations.accuracy[:, k], observations.acceptance[:, k]
        self.generated = observations.generated[:, k]
        # Shares in force up to each logged step; steps between two logged ones are taken to be like the later one.
        self._practice = observations.realized[:, k] * np.diff(observations.steps, prepend=0.0)
        self.seen = ~np.isnan(self.accuracy) & (self.generated > 0)
        self._rated = self.seen & ~np.isnan(self.acceptance)
        if self.seen.sum() < 5:
            raise RunError(
                f"fit: task {observations.tasks[k]!r} has {int(self.seen.sum())} logged steps with groups; "
                "at least 5 are needed"
            )
        self._signals = group_signals(self.size)[0][
            :: self.size + 1
        ]  # as if no wrong answer were well-formed

    def parameters(self, point: Floats) -> tuple[float, float, float, float]:
        """Skill, spread, learning rate and ceiling of a point."""
        spread = float(np.exp(point[1]))
        ceiling = self.floor + (1 - self.floor) / (1 + float(np.exp(-point[3])))
        return float(point[0]) * (1 + spread), spread, float(np.exp(point[2])), ceiling

    def replay(
        self, skill: float, spread: float, rate: float, ceiling: float
    ) -> tuple[Floats, Floats]:
        """Expected accuracy and acceptance rate at each logged step, shape (T,) each."""
        # Beyond these ends every prompt is as good as solved or hopeless.
        low, high = -3 * spread - 8.0, 3 * spread + 8.0
        grid = np.linspace(low, high, NUM_GRID)
        p, slopes = pass_rates(
            grid,
            np.full(NUM_GRID, spread),
            np.array([[self.floor]]),
            np.array([[ceiling - self.floor]]),
        )
        outcomes, sensitivity = outcome_table(p, slopes, self.size)
        kept = outcomes[:, 1:-1].sum(axis=1)
        learning = (outcomes * sensitivity * self._signals).sum(
            axis=1
        )  # 0 for the groups without gradient
        if self.filtered:
            learning = learning / np.maximum(kept, 1e-12)
        gains: list[float] = (rate * learning).tolist()
        scale, here = (NUM_GRID - 1) / (high - low), skill
        path = list[float]()
        for amount in self._practice.tolist():
            path.append(here)
            place = min(max((here - low) * scale, 0.0), NUM_GRID - 1.001)
            i = int(place)
            here += amount * (gains[i] + (place - i) * (gains[i + 1] - gains[i]))
        return np.interp(path, grid, p.mean(axis=1)), np.interp(path, grid, kept)

    def residuals(self, point: Floats) -> Floats:
        """Misfits in deviations, and the distance from the priors."""
        accuracy, acceptance = self.replay(*self.parameters(point))
        weight = np.sqrt(self.generated) / GROUP_DEVIATION
        return np.concatenate(
            [
                ((accuracy - self.accuracy) * weight)[self.seen],
                ((acceptance - self.acceptance) * weight)[self._rated],
                (point - self.PRIOR_MEAN) / self.PRIOR_SCALE,
            ]
        )

    def best(self) -> Floats:
        """The best point found from a coarse grid of starts."""
        first = float(np.mean(self.accuracy[self.seen][: max(5, int(self.seen.sum()) // 20)]))
        starts = list[tuple[float, Floats]]()
        for spread in (0.7, 2.0, 5.0, 10.0):
            skills = np.linspace(-3, 3, 61)
            p, _ = pass_rates(
                skills * (1 + spread),
                np.full(61, spread),
                np.array([[self.floor]]),
                np.array([[0.95 - self.floor]]),
            )
            skill = skills[np.argmin(np.abs(p.mean(axis=1) - first))]
            for rate in (0.02, 0.1, 0.5, 2.0):
                point = np.array([skill, np.log(spread), np.log(rate), 3.0])
                starts.append((_square(self.residuals(point)), point))
        starts.sort(key=lambda start: start[0])
        found = [least_squares(self.residuals, point) for _, point in starts[:2]]
        return min(found, key=lambda point: _square(self.residuals(point)))


def least_squares(
    residuals: Callable[[Floats], Floats], start: Floats, max_iterations: int = 25
) -> Floats:
    """Levenberg-Marquardt with a forward-difference Jacobian: the point of least sum of squares near `start`."""
    point, damping = start.copy(), 1e-2
    here = residuals(point)
    for _ in range(max_iterations):
        step = 1e-4
        jacobian = np.stack(
            [(residuals(point + step * unit) - here) / step for unit in np.eye(len(point))], axis=1
        )
        gradient, curvature = jacobian.T @ here, jacobian.T @ jacobian
        improved = False
        while damping < 1e8:
            move = -np.linalg.solve(
                curvature + damping * np.diag(np.diag(curvature) + 1e-9), gradient
            )
            there = residuals(point + np.clip(move, -1.0, 1.0))
            if _square(there) < _square(here):
                gain = _square(here) - _square(there)
                point, here, damping = (
                    point + np.clip(move, -1.0, 1.0),
                    there,
                    max(damping / 5, 1e-9),
                )
                improved = gain > 1e-6 * _square(here)
                break
            damping *= 5
        if not improved:
            break
    return point


def _square(residuals: Floats) -> float:
    return float(residuals @ residuals)

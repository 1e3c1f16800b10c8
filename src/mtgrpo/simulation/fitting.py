"""From a finished run to a world: enough to ask "what if"."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mtgrpo.core.types import Floats
from mtgrpo.errors import ConfigError, RunError, counted, unknown
from mtgrpo.runlog import Run
from mtgrpo.simulation.observations import Observations
from mtgrpo.simulation.policy import group_signals, outcome_table
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.task import SimulatedTask, pass_rates
from mtgrpo.simulation.world import World

GROUP_DEVIATION = 0.4
"""Deviation of one group's mean accuracy and acceptance, generously: residuals become sigmas."""
NUM_GRID = 61
"""Skills at which gains are tabulated for the replay."""


def fit(
    run: Run | SimulationResult | Observations, floors: Mapping[str, float] | None = None
) -> World:
    """A world whose tasks, trained on a run's shares, show its accuracies and acceptance rates.

    Each task is fitted by itself (no transfer): start skill, spread, learning rate and ceiling, by
    damped least squares from several starts, with weak priors for what the run does not show.

    Args:
        run: A run of `mtgrpo.runlog.read_run`; or a simulated one, of which only what a real one
            logs is used.
        floors: Guess floor of each task; 0 for those left out.

    Raises:
        RunError: A task has fewer than five logged steps.
        ConfigError: A floor is of an unknown task, or outside [0, 1).
    """
    observations = _observations(run)
    floors = floors or {}

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
    """Root mean square error of each task's accuracy curve, replayed on the run's shares.

    Raises:
        RunError: A task has fewer than five logged steps.
    """
    observations = _observations(run)
    errors: dict[str, float] = {}

    for k, task in enumerate(world.tasks):
        curve = _Curve(observations, k, task.floor)
        predicted, _ = curve.replay(task.skill, task.spread, task.learning_rate, task.ceiling)

        missed = (predicted - curve.accuracy)[curve.seen]
        weights = curve.generated[curve.seen]
        errors[task.name] = float(np.sqrt(np.average(missed**2, weights=weights)))

    return errors


def _observations(run: Run | SimulationResult | Observations) -> Observations:
    if isinstance(run, SimulationResult):
        return Observations.of_result(run)
    if isinstance(run, Observations):
        return run

    return Observations.of_run(run)


class _Curve:
    """One task's observations, and its replay under given parameters.

    A point of the search is (start skill in units of the spread, log spread, log rate, logit of
    the ceiling's place between floor and 1).
    """

    PRIOR_MEAN = np.array([0.0, np.log(2.0), np.log(0.2), 3.0])
    PRIOR_SCALE = np.array([4.0, 1.0, 2.0, 1.5])

    def __init__(self, observations: Observations, k: int, floor: float) -> None:
        self.floor = floor
        self.size = observations.group_size
        self.filtered = observations.filtered
        self.accuracy = observations.accuracy[:, k]
        self.acceptance = observations.acceptance[:, k]
        self.generated = observations.generated[:, k]

        self.seen = ~np.isnan(self.accuracy) & (self.generated > 0)
        self._rated = self.seen & ~np.isnan(self.acceptance)
        num_seen = int(self.seen.sum())
        if not num_seen and np.any(self.generated > 0):
            raise RunError(
                f"fit: task {observations.tasks[k]!r} has groups and no accuracies: it is graded "
                "by its reward alone; only accuracies can be fitted; fit a run whose tasks all "
                "have correct_at"
            )
        if num_seen < 5:
            raise RunError(
                f"fit: task {observations.tasks[k]!r} has {counted(num_seen, 'logged step')} "
                "with groups; "
                "at least 5 are needed"
            )

        # Shares in force up to each logged step; those in between are taken to be like the later.
        self._practice = observations.realized[:, k] * np.diff(observations.steps, prepend=0.0)
        # as if no wrong answer were well-formed
        self._signals = group_signals(self.size)[0][:: self.size + 1]

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
        grid = np.linspace(low, high, NUM_GRID)  # of skills, as all arrays up to the path
        p, slopes = self._pass_rates(grid, spread, ceiling)

        outcomes, sensitivity = outcome_table(p, slopes, self.size)  # (skills, G + 1)
        kept = outcomes[:, 1:-1].sum(axis=1)
        learning = (outcomes * sensitivity * self._signals).sum(
            axis=1
        )  # groups without gradient: 0
        if self.filtered:
            learning = learning / np.maximum(kept, 1e-12)

        gains: list[float] = (rate * learning).tolist()
        scale = (NUM_GRID - 1) / (high - low)
        path = list[float]()

        for amount in self._practice.tolist():
            path.append(skill)
            place = min(max((skill - low) * scale, 0.0), NUM_GRID - 1.001)
            i = int(place)
            skill += amount * (gains[i] + (place - i) * (gains[i + 1] - gains[i]))

        return np.interp(path, grid, p.mean(axis=1)), np.interp(path, grid, kept)

    def _pass_rates(self, skills: Floats, spread: float, ceiling: float) -> tuple[Floats, Floats]:
        """Pass rates and their slopes at several skills, shape (skills, prompts) each."""
        floor, span = np.array([[self.floor]]), np.array([[ceiling - self.floor]])
        return pass_rates(skills, np.full(len(skills), spread), floor, span)

    def residuals(self, point: Floats) -> Floats:
        """Misfits in deviations, and the distance from the priors."""
        accuracy, acceptance = self.replay(*self.parameters(point))
        weight = np.sqrt(self.generated) / GROUP_DEVIATION

        of_accuracy = ((accuracy - self.accuracy) * weight)[self.seen]
        of_acceptance = ((acceptance - self.acceptance) * weight)[self._rated]
        from_prior = (point - self.PRIOR_MEAN) / self.PRIOR_SCALE

        return np.concatenate([of_accuracy, of_acceptance, from_prior])

    def best(self) -> Floats:
        """The best point found from a coarse grid of starts."""
        seen = self.accuracy[self.seen]
        first = float(np.mean(seen[: max(5, len(seen) // 20)]))
        skills = np.linspace(-3, 3, 61)  # in units of the spread
        starts = list[tuple[float, Floats]]()

        for spread in (0.7, 2.0, 5.0, 10.0):
            p, _ = self._pass_rates(skills * (1 + spread), spread, 0.95)
            skill = skills[np.argmin(np.abs(p.mean(axis=1) - first))]

            for rate in (0.02, 0.1, 0.5, 2.0):
                point = np.array([skill, np.log(spread), np.log(rate), 3.0])
                starts.append((_square(self.residuals(point)), point))

        starts.sort(key=lambda start: start[0])
        ends = [least_squares(self.residuals, point) for _, point in starts[:2]]

        return min(ends, key=lambda point: _square(self.residuals(point)))


def least_squares(
    residuals: Callable[[Floats], Floats], start: Floats, max_iterations: int = 25
) -> Floats:
    """The point of least sum of squares near `start`.

    Levenberg-Marquardt with a forward-difference Jacobian.
    """
    point, damping = start.copy(), 1e-2
    here = residuals(point)

    for _ in range(max_iterations):
        jacobian = _jacobian(residuals, point, here)
        gradient = jacobian.T @ here
        curvature = jacobian.T @ jacobian
        scale = np.diag(np.diag(curvature) + 1e-9)
        improved = False

        while damping < 1e8:
            move = -np.linalg.solve(curvature + damping * scale, gradient)
            candidate = point + np.clip(move, -1.0, 1.0)
            there = residuals(candidate)

            gain = _square(here) - _square(there)
            if gain > 0:
                point, here = candidate, there
                damping = max(damping / 5, 1e-9)
                improved = gain > 1e-6 * _square(here)
                break

            damping *= 5

        if not improved:
            break

    return point


def _jacobian(
    residuals: Callable[[Floats], Floats], point: Floats, here: Floats, step: float = 1e-4
) -> Floats:
    """Derivatives of the residuals at a point, where they are `here`; shape (residuals, point)."""
    columns = [(residuals(point + step * unit) - here) / step for unit in np.eye(len(point))]
    return np.stack(columns, axis=1)


def _square(residuals: Floats) -> float:
    return float(residuals @ residuals)

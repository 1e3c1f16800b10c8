"""From a run back to the world it came from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mtgrpo.errors import ConfigError, RunError
from mtgrpo.runlog import read_run
from mtgrpo.simulation import SimulatedTask, World, fit, fit_errors, simulate
from mtgrpo.simulation.fitting import least_squares
from mtgrpo.simulation.observations import Observations

from .worlds import STILL, write_run


def test_fit_recovers_a_known_world() -> None:
    truth = World(
        (
            SimulatedTask("a", skill=-2.0, spread=1.5, learning_rate=0.15),
            SimulatedTask("b", skill=-6.0, spread=4.0, learning_rate=0.6),
            SimulatedTask("c", skill=-2.0, spread=1.0, learning_rate=0.2, floor=0.2),
        )
    )
    run = simulate(truth, "mt_grpo", steps=300, batch_size=32, group_size=8)
    world = fit(run, floors={"c": 0.2})
    assert max(fit_errors(world, run).values()) < 0.12  # the noise of a step's own sample is in it
    for found, task in zip(world.tasks, truth.tasks, strict=True):
        assert found.spread == pytest.approx(task.spread, rel=0.35)
        assert found.learning_rate == pytest.approx(task.learning_rate, rel=0.35)
        assert found.skill == pytest.approx(task.skill, abs=0.35 * (1 + task.spread))
    # What it is for: the same question asked of the fitted world gets the true world's answer.
    for name in ("grpo", "dapo"):
        told, real = (
            simulate(w, name, steps=300, batch_size=32, seed=9).accuracy[-1] for w in (world, truth)
        )
        np.testing.assert_allclose(told, real, atol=0.06)


def test_fit_reads_a_run_directory(tmp_path) -> None:
    run = simulate(World.three_tasks(), "grpo", steps=60, batch_size=32)
    write_run(tmp_path, run)
    world = fit(read_run(tmp_path))
    direct = fit(run)
    assert world.names == run.tasks
    np.testing.assert_allclose(world.array("skill"), direct.array("skill"))
    np.testing.assert_allclose(world.array("format_skill"), 0.5, atol=0.01)


def test_fit_refuses_what_it_cannot_use(tmp_path) -> None:
    run = simulate(STILL, "grpo", steps=3, batch_size=8)
    with pytest.raises(RunError, match="at least 5"):
        fit(run)
    with pytest.raises(ConfigError, match="did you mean 'easy'"):
        fit(run, floors={"eazy": 0.1})
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        fit(run, floors={"easy": 1.0})
    write_run(tmp_path, run)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(RunError, match="group_size"):
        fit(read_run(tmp_path))


def test_least_squares_finds_a_line() -> None:
    x = np.linspace(0, 1, 20)
    found = least_squares(lambda point: point[0] + point[1] * x - (3 - 2 * x), np.zeros(2))
    np.testing.assert_allclose(found, [3, -2], atol=1e-4)


def test_fit_says_that_graded_tasks_have_no_accuracies() -> None:
    run = Observations.of_result(simulate(STILL, "grpo", steps=6, batch_size=8))
    graded = dataclasses.replace(run, accuracy=np.full_like(run.accuracy, np.nan))
    with pytest.raises(RunError, match="graded by its reward alone; only accuracies can be fitted"):
        fit(graded)

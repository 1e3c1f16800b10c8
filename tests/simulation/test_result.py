"""What a simulation leaves behind."""

from __future__ import annotations

from mtgrpo.simulation import Observations, World, simulate, sweep

from .worlds import STILL, policy


def test_thresholds() -> None:
    run = simulate(World.three_tasks(), steps=40, batch_size=8)
    assert run.steps_to(0.0) == 0
    assert run.rollouts_to(0.0) == 0
    assert run.steps_to(1.0) is None
    level = float(run.worst_accuracy[20:].min())
    steps = run.steps_to(level)
    assert steps is not None
    assert run.rollouts_to(level) == run.rollouts[steps]


def test_a_log_shows_what_it_is_and_no_arrays() -> None:
    run = simulate(STILL, "grpo", steps=3, batch_size=4, seed=2)
    assert repr(run).startswith("SimulationResult(method='grpo', seed=2, steps=3, rollouts=96, ")
    assert len(repr(run)) < 200
    shown = (
        "Observations(tasks=('easy', 'middle', 'hard'), group_size=8, filtered=False, num_steps=3)"
    )
    assert repr(Observations.of_result(run)) == shown
    assert repr(policy(STILL)).startswith("ToyPolicy(group_size=8, skill={easy: 1.00, ")
    swept = sweep(STILL, "mt_grpo", "lam", [0.1, 0.2], [0], steps=2, batch_size=4)
    assert repr(swept) == "Sweep(preset='mt_grpo', parameter='lam', values=(0.1, 0.2), seeds=(0,))"

"""Sweeps are what `simulate` gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.simulation import simulate, sweep

from .worlds import STILL


def test_sweep_is_what_simulate_gives() -> None:
    table = sweep(
        STILL, "mt_grpo", "lam", [0.1, 1.0], seeds=[3, 4], steps=6, batch_size=8, threshold=0.01
    )
    assert table.accuracy.shape == (2, 2, 3)
    run = simulate(STILL, "mt_grpo", weighting={"lam": 1.0}, steps=6, batch_size=8, seed=4)
    assert table.rollouts[1, 1] == run.rollouts[-1]
    np.testing.assert_array_equal(table.accuracy[1, 1], run.accuracy[-1])
    assert [row["lam"] for row in table.rows()] == [0.1, 1.0]
    json.dumps(table.rows(), allow_nan=False)


@pytest.mark.parametrize(
    "parameter", ["max_resamples", "planner.max_inflation", "batch_size", "group_size"]
)
def test_sweep_over_other_parameters(parameter: str) -> None:
    values = [0, 8] if parameter == "max_resamples" else [4, 8]
    table = sweep(STILL, "mt_grpo", parameter, values, seeds=[0], steps=3, batch_size=8)
    assert len(set(table.rollouts.ravel().tolist())) == 2


def test_sweep_over_methods_and_in_processes() -> None:
    alone = sweep(STILL, "grpo", "preset", ["grpo", "dapo"], seeds=[0], steps=3, batch_size=8)
    shared = sweep(
        STILL, "grpo", "preset", ["grpo", "dapo"], seeds=[0], steps=3, batch_size=8, processes=2
    )
    np.testing.assert_array_equal(alone.rollouts, shared.rollouts)


def test_sweep_refuses_what_the_method_does_not_have() -> None:
    with pytest.raises(ConfigError, match="unknown parameter 'eta'"):
        sweep(STILL, "mt_grpo", "eta", [1.0])
    with pytest.raises(ConfigError, match=r"planner\.max_inflation"):
        sweep(STILL, "mt_grpo", "planner.max_inflation_", [1.0])
    with pytest.raises(ConfigError, match="0 values"):
        sweep(STILL, "mt_grpo", "lam", [])

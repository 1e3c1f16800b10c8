"""Pass rates of a simulated task."""

from __future__ import annotations

import numpy as np

from mtgrpo.simulation import World


def test_pass_rates_and_their_slopes() -> None:
    world = World.random(seed=0, num_tasks=5)
    skill, h = world.array("skill"), 1e-5
    _, slopes = world.pass_rates(skill)
    numeric = (world.pass_rates(skill + h)[0] - world.pass_rates(skill - h)[0]) / (2 * h)
    np.testing.assert_allclose(slopes, numeric, atol=1e-8)

"""What can be read off a run."""

from __future__ import annotations

import numpy as np

from mtgrpo.simulation import Observations, simulate

from .worlds import STILL


def test_acceptance_under_a_filter_on_format_is_left_aside() -> None:
    run = simulate(STILL, "mt_grpo", variant="paper", setting="nine_tasks", steps=6, batch_size=8)
    assert run.group_filter == "lenient"
    assert np.isnan(Observations.of_result(run).acceptance).all()

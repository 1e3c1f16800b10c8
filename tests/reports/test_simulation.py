"""Figures of simulations."""

from __future__ import annotations

import io

import pytest

from mtgrpo.simulation import simulate, sweep
from tests.simulation.worlds import STILL


def test_figures_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    from mtgrpo.reports.simulation import comparison_figure, curves_figure, tradeoff_figure

    runs = [simulate(STILL, name, steps=5, batch_size=8) for name in ("grpo", "mt_grpo")]
    table = sweep(STILL, "mt_grpo", "lam", [0.1, 1.0], seeds=[0, 1], steps=3, batch_size=8)
    for figure in (curves_figure(runs[0]), comparison_figure(runs), tradeoff_figure(table)):
        png = io.BytesIO()
        figure.savefig(png, format="png")
        assert png.getvalue()[:4] == b"\x89PNG"

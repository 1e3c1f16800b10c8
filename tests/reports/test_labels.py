from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.text import Text

from mtgrpo.reports import figures as fig
from mtgrpo.reports.curves import step_curves
from mtgrpo.reports.labels import drawable, spread
from mtgrpo.runlog import read_run
from tests.synthetic_run import write_synthetic_run


def test_labels_never_overlap(tmp_path: Path) -> None:
    run = read_run(
        write_synthetic_run(
            tmp_path, tasks=[f"t{i}" for i in range(9)], preset="dapo", steps=4, every=2
        )
    )
    figure = fig.weights_figure(step_curves(run))  # nine equal weights
    figure.draw_without_rendering()
    boxes = sorted(
        (Text.get_window_extent(t) for t in figure.axes[0].texts), key=lambda box: box.y0
    )
    assert len(boxes) == 9
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_spread_keeps_order_gap_and_bounds() -> None:
    assert spread([5.0], 1, 0, 10) == [5.0]
    assert spread([1.0, 5.0], 1, 0, 10) == [1.0, 5.0]
    placed = spread([0.0, 0.0, 0.1, 9.9, 10.0], 1, 0, 10)
    assert (np.diff(placed) >= 1 - 1e-9).all()
    assert placed[0] >= 0
    assert placed[-1] <= 10
    assert spread([], 1, 0, 10) == []


def test_drawable() -> None:
    assert drawable("a\nb\x00\ud800中") == "a□b□□□"
    assert drawable("x" * 100) == "x" * 16 + "…" + "x" * 9
    assert drawable("$a_1$") == "$a_1$"

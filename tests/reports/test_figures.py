from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from mtgrpo.errors import RunError
from mtgrpo.reports import figures as fig
from mtgrpo.reports.compare import spread_over_seeds
from mtgrpo.reports.curves import accuracy_curves, step_curves
from mtgrpo.reports.style import LABEL, drawable, spread
from mtgrpo.runlog import Run, read_run
from tests.synthetic_run import HOSTILE, write_synthetic_run


def all_figures(run: Run) -> dict[str, Figure]:
    accuracy, steps = accuracy_curves(run), step_curves(run)
    return {
        "accuracy": fig.accuracy_figure(accuracy, x="rollouts"),
        "weights": fig.weights_figure(steps, accuracy),
        "shares": fig.shares_figure(steps, accuracy),
        "acceptance": fig.acceptance_figure(steps),
        "effort": fig.effort_figure(steps),
        "comparison": fig.comparison_figure([spread_over_seeds("x", [run])]),
    }


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_every_figure_of_runs_of_any_length(tmp_path: Path, steps: int) -> None:
    run = read_run(write_synthetic_run(tmp_path / "run", steps=steps, every=2))
    written = fig.save(all_figures(run), tmp_path / "figures", dpi=30)
    assert len(written) == 12
    assert all(path.stat().st_size > 1000 for path in written)


def test_hostile_names_are_drawn_as_they_are_and_settings_stay(
    hostile_dir: Path, tmp_path: Path
) -> None:
    before = dict(mpl.rcParams)
    figures = all_figures(read_run(hostile_dir))
    fig.save(figures, tmp_path, dpi=30)  # a missing glyph or broken mathtext would warn or raise
    labels = [t for t in figures["weights"].axes[0].texts if t.get_gid() == LABEL]
    assert len(labels) == len(HOSTILE)
    assert "$x_1$ " in labels[1].get_text()
    assert dict(mpl.rcParams) == before


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


def test_many_tasks_point_out_the_worst_and_the_best(tmp_path: Path) -> None:
    run = read_run(
        write_synthetic_run(tmp_path, tasks=[f"task_{i}" for i in range(40)], steps=4, every=2)
    )
    curves = accuracy_curves(run)
    labels = [t.get_text() for t in fig.accuracy_figure(curves).axes[0].texts]
    last = curves.accuracy[-1]
    assert set(labels) == {f"task_{last.argmin()} (worst)", f"task_{last.argmax()} (best)"}
    assert "40 tasks" in fig.shares_figure(step_curves(run)).axes[0].get_title(loc="left")


def test_figures_are_reproducible(run: Run, tmp_path: Path) -> None:
    for folder in ("1", "2"):
        fig.save({"w": fig.weights_figure(step_curves(run))}, tmp_path / folder, dpi=30)
    assert (tmp_path / "1" / "w.svg").read_bytes() == (tmp_path / "2" / "w.svg").read_bytes()


def test_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        fig.save({}, tmp_path / "file" / "x")


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

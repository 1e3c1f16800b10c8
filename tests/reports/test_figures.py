from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib as mpl
from matplotlib.figure import Figure

from mtgrpo.reports import figures as fig
from mtgrpo.reports.compare import spread_over_seeds
from mtgrpo.reports.curves import accuracy_curves, step_curves
from mtgrpo.reports.figure_files import save
from mtgrpo.reports.labels import LABEL
from mtgrpo.reports.spread_figure import spread_figure
from mtgrpo.runlog import Run, RunLog, read_run
from tests.synthetic_run import HOSTILE, write_synthetic_run


def all_figures(run: Run) -> dict[str, Figure]:
    accuracy, steps = accuracy_curves(run), step_curves(run)
    return {
        "accuracy": fig.accuracy_figure(accuracy, x="rollouts"),
        "weights": fig.weights_figure(steps, accuracy),
        "shares": fig.shares_figure(steps, accuracy),
        "acceptance": fig.acceptance_figure(steps),
        "effort": fig.effort_figure(steps),
        "comparison": spread_figure([spread_over_seeds("x", [run])]),
    }


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_every_figure_of_runs_of_any_length(tmp_path: Path, steps: int) -> None:
    run = read_run(write_synthetic_run(tmp_path / "run", steps=steps, every=2))
    written = save(all_figures(run), tmp_path / "figures", dpi=30)
    assert len(written) == 12
    assert all(path.stat().st_size > 1000 for path in written)


def test_hostile_names_are_drawn_as_they_are_and_settings_stay(
    hostile_dir: Path, tmp_path: Path
) -> None:
    before = dict(mpl.rcParams)
    figures = all_figures(read_run(hostile_dir))
    save(figures, tmp_path, dpi=30)  # a missing glyph or broken mathtext would warn or raise
    labels = [t for t in figures["weights"].axes[0].texts if t.get_gid() == LABEL]
    assert len(labels) == len(HOSTILE)
    assert "$x_1$ " in labels[1].get_text()
    assert dict(mpl.rcParams) == before


def test_many_tasks_point_out_the_worst_and_the_best(tmp_path: Path) -> None:
    run = read_run(
        write_synthetic_run(tmp_path, tasks=[f"task_{i}" for i in range(40)], steps=4, every=2)
    )
    curves = accuracy_curves(run)
    labels = [t.get_text() for t in fig.accuracy_figure(curves).axes[0].texts]
    last = curves.accuracy[-1]
    assert set(labels) == {f"task_{last.argmin()} (worst)", f"task_{last.argmax()} (best)"}
    assert "40 tasks" in fig.shares_figure(step_curves(run)).axes[0].get_title(loc="left")


def test_no_line_is_drawn_through_a_change_of_the_evaluation(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, ["a"]) as log:
        for i, (prompts, accuracy) in enumerate([(50, 0.2), (50, 0.3), (200, 0.6), (200, 0.7)]):
            row = {"accuracy": accuracy, "num_prompts": prompts, "std_error": 0.01}
            log.log_evaluation(10 * i, 80 * i, {"a": row}, num_samples=1)
    axes = fig.accuracy_figure(accuracy_curves(read_run(tmp_path))).axes[0]

    for line in axes.lines:
        x = np.asarray(line.get_xdata(), dtype=float)
        y = np.asarray(line.get_ydata(), dtype=float)
        through = (x[:-1] < 15) & (x[1:] > 15) & ~np.isnan(y[:-1]) & ~np.isnan(y[1:])
        assert not through.any()
    legend = axes.get_legend()
    assert legend is not None
    assert "evaluation settings changed" in [text.get_text() for text in legend.get_texts()]
    assert 15 in [line.get_xdata()[0] for line in axes.lines]  # type: ignore[index]

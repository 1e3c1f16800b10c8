"""Rewards, scores and the optimizer's figures over training, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from mtgrpo.reports.training_curves import training_curves
from mtgrpo.reports.training_figures import (
    optimizer_figure,
    training_reward_figure,
    training_score_figure,
)
from mtgrpo.runlog import Run, RunLog, read_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A verified task and a graded one, which is absent from the second step."""
    with RunLog.create(tmp_path / "run", ["a", "b"]) as log:
        first = {"task/a/reward": 0.75, "task/a/accuracy": 0.5, "task/a/num_generated": 4}
        first |= {"task/b/reward": -2.0, "task/b/score": 0.25, "task/b/num_generated": 2}
        log.log_metrics(1, 8, {**first, "loss": 0.5, "kl": 0.125, "step_time": 3.0})
        log.log_metrics(2, 16, {**first, "loss": 0.25, "task/b/reward": float("nan")})
    return read_run(tmp_path / "run")


def test_scores_are_those_of_the_task_and_missing_values_stay_missing(run: Run) -> None:
    curves = training_curves(run)
    assert curves.tasks == ("a", "b")
    assert curves.steps.tolist() == [1, 2]
    assert curves.score.tolist() == [[0.5, 0.25], [0.5, 0.25]]
    assert curves.reward[0].tolist() == [0.75, -2.0]
    assert np.isnan(curves.reward[1, 1])
    assert curves.generated.tolist() == [[4, 2], [4, 2]]
    assert curves.measure == "score"
    assert list(curves.figures) == ["loss", "KL divergence", "step time (s)"]
    assert curves.figures["loss"].tolist() == [0.5, 0.25]
    assert curves.figures["KL divergence"][0] == 0.125
    assert np.isnan(curves.figures["KL divergence"][1])


def test_what_is_drawn(run: Run) -> None:
    curves = training_curves(run)
    score = training_score_figure(curves).axes[0]
    assert score.get_title(loc="left") == "Training score per task, before the filter"
    assert score.get_ylabel() == "score (%, mean of 1 step)"
    assert score.lines[0].get_ydata().tolist() == [50.0, 50.0]
    assert score.lines[1].get_ydata().tolist() == [25.0, 25.0]

    reward = training_reward_figure(curves).axes[0]
    assert reward.lines[0].get_ydata().tolist() == [0.75, 0.75]
    assert reward.get_ylim()[0] < -2.0  # rewards may be below 0

    panels = optimizer_figure(curves).axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "KL divergence", "step time\n(s)"]
    assert panels[0].lines[0].get_ydata().tolist() == [0.5, 0.25]


def test_smoothing_counts_a_step_by_the_groups_it_had(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        for step in range(1, 31):  # over three steps
            is_odd = step % 2
            values = {"task/a/accuracy": float(is_odd), "task/a/num_generated": 3 if is_odd else 1}
            log.log_metrics(step, step, values)
    figure = training_score_figure(training_curves(read_run(tmp_path / "run")))
    drawn = figure.axes[0].lines[0].get_ydata()
    assert drawn[2] == pytest.approx(100 * 6 / 7)
    assert drawn[3] == pytest.approx(100 * 3 / 5)


def test_a_run_without_a_step(tmp_path: Path) -> None:
    RunLog.create(tmp_path / "run", ["a"]).close()
    curves = training_curves(read_run(tmp_path / "run"))
    assert curves.score.shape == curves.generated.shape == (0, 1)
    assert curves.figures == {}
    for draw in (training_score_figure, training_reward_figure, optimizer_figure):
        assert draw(curves).axes

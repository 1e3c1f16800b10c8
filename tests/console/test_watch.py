"""A run is followed while another process carries it out: here, between two looks at its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mtgrpo.cli import main
from mtgrpo.console import output, watch
from mtgrpo.errors import RunError
from mtgrpo.runlog import RunLog

Play = Callable[[list[Callable[[], Any]]], None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Each act happens while the watcher sleeps; it must not sleep once more."""

    def play(acts: list[Callable[[], Any]]) -> None:
        left = iter(acts)
        monkeypatch.setattr(watch.time, "sleep", lambda _: next(left)())

    return play


class Trainer:
    """What the other process does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        self.log = RunLog.create(self.path, ["a", "[b]"])
        self.log.write_config({"steps": 3})

    def evaluate(self) -> None:
        row = {"reward": 0.5, "num_prompts": 4, "std_error": 0.1}
        tasks = {"a": {"accuracy": 0.5, **row}, "[b]": {"accuracy": 0.25, **row}}
        self.log.log_evaluation(0, 0, tasks, num_samples=2)

    def step(self, step: int) -> Callable[[], None]:
        values = {
            "loss": 0.125,
            "kl": float("nan"),
            "tasks/worst_score": 0.1,
            "tasks/mean_score": 0.2,
        }
        values |= {"task/a/weight": 0.25, "task/a/score": 0.4, "task/a/reward": -1.5}
        return lambda: self.log.log_metrics(step, 8 * step, values, elapsed_s=60.0 * step)

    def end(self, status: str) -> Callable[[], None]:
        def end() -> None:
            self.log.write_summary({"status": status})
            self.log.close()

        return end


def nothing() -> None:
    pass


def test_without_a_terminal_a_line_for_each_step_until_the_run_ends(
    tmp_path: Path, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Trainer(tmp_path / "run")
    play([nothing, run.begin, run.evaluate, run.step(1), run.step(2), nothing, run.end("finished")])
    assert main(["watch", str(run.path)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"waiting for {run.path}",
        "test accuracy at step 0: worst [b] 25.0 %, mean 37.5 %",
        "step 1/3  worst 10.0 %  mean 20.0 %  loss 0.125",
        "step 2/3  worst 10.0 %  mean 20.0 %  loss 0.125  1 min left",
        f"{run.path}: finished",
    ]


@pytest.mark.parametrize(("status", "code"), [("interrupted", 130), ("failed", 1)])
def test_a_run_that_ends_early_says_how_to_go_on(
    tmp_path: Path, play: Play, status: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Trainer(tmp_path / "run")
    run.begin()
    play([run.end(status)])
    assert main(["watch", str(run.path)]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"mtgrpo train {run.path} --resume"


def test_a_run_whose_process_died_has_ended(tmp_path: Path, play: Play) -> None:
    run = Trainer(tmp_path / "run")
    run.begin()
    play([lambda: run.log.close()])
    assert watch.watch(run.path, 1.0).status == "killed"


def test_a_run_that_went_back_is_told_again(
    tmp_path: Path, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Trainer(tmp_path / "run")
    run.begin()
    for step in (1, 2):
        run.step(step)()

    def go_back() -> None:
        run.log.close()
        run.log = RunLog.resume(run.path)
        run.log.truncate_after(1)

    def resumed() -> None:
        go_back()
        run.step(2)()
        run.step(3)()

    play([resumed, run.end("finished")])
    watch.watch(run.path, 1.0)
    steps = [line[:8] for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert steps == ["step 1/3", "step 2/3", "step 3/3"]


def test_what_is_no_place_of_a_run_is_refused(tmp_path: Path, play: Play) -> None:
    play([])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not a directory"):
        watch.watch(tmp_path / "file", 1.0)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(force_terminal=True, width=300, height=40, record=True)
    monkeypatch.setattr(watch, "console", console)
    monkeypatch.setattr(output, "console", console)
    return console


def test_in_a_terminal_one_view_is_kept_up_to_date(
    tmp_path: Path, play: Play, terminal: Console
) -> None:
    run = Trainer(tmp_path / "run")
    play([run.begin, run.evaluate, run.step(1), run.step(2), run.end("finished")])
    watch.watch(run.path, 1.0)
    shown = terminal.export_text()
    for part in (
        f"waiting for {run.path}",
        "running · step 2 of 3 · 16 rollouts · 2 min · left: 1 min",
        "finished · step 2 of 3",
        "[b]",
        "-1.500",
        "test accuracy at step 0: worst [b] 25.0 %, mean 37.5 %",
        "loss 0.125",
    ):
        assert part in shown, part
    (row,) = {line for line in shown.splitlines() if line.startswith("  a ") and "40.0" in line}
    assert row.split() == ["a", "0.250", "-1.500", "40.0", "50.0", "10.0"]

"""`mtgrpo compare`: per task, paired, in colour only where the sign is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mtgrpo.cli import main
from mtgrpo.console import output
from mtgrpo.console.compare import comparison_table
from mtgrpo.evidence.paired import compare
from mtgrpo.evidence.run_results import results_of
from mtgrpo.runlog import RunLog, read_run


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    for name, of_a in (("one", [0.0, 0.0, 0.5, 0.0]), ("two", [1.0, 1.0, 1.0, 1.0])):
        with RunLog.create(tmp_path / name, ["a", "[b]"]) as log:
            log.write_config({"preset": name, "seed": 7})
            tasks = {
                "a": {"accuracy": sum(of_a) / 4, "num_prompts": 4, "prompt_accuracies": of_a},
                "[b]": {"accuracy": 0.5, "num_prompts": 2, "prompt_accuracies": [0.5, 0.5]},
            }
            log.log_evaluation(5, 40, tasks, num_samples=2)
    return [str(tmp_path / "one"), str(tmp_path / "two")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(force_terminal=True, width=200, record=True, color_system="standard")
    monkeypatch.setattr(output, "console", console)
    return console


def test_a_row_per_task_and_colour_where_the_sign_is_known(
    runs: list[str], terminal: Console
) -> None:
    assert main(["compare", *runs]) == 0
    lines = terminal.export_text(styles=True).splitlines()

    (a,) = [line for line in lines if "│ a " in line]
    assert "\x1b[32m" in a
    assert "+87.5" in a
    (b,) = [line for line in lines if "[b]" in line]
    assert "\x1b[3" not in b
    for part in ("50.0", "+0.0", "+0.0 to +0.0"):
        assert part in b
    assert any("two against one" in line for line in lines)
    assert any("last that all runs have; 1 seed: 7" in line for line in lines)


@pytest.mark.parametrize(
    ("at", "place"), [("steps", "step 5"), ("rollouts", "rollout 40"), ("seconds", "second 5")]
)
def test_the_place_of_a_comparison_in_its_unit(
    runs: list[str], terminal: Console, at: str, place: str
) -> None:
    results = results_of([read_run(Path(run)) for run in runs], ["one", "two"])
    one, two = (replace(result, seconds=np.array([5.0])) for result in results)
    comparison_table(compare([two], [one], at=at), [two], [one], "accuracy")
    assert f"at {place}, the last that all runs have" in terminal.export_text()


def test_one_method_cannot_be_compared(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", runs[0]]) == 2
    assert "all runs are 'one'; give runs of another method too" in capsys.readouterr().err
    assert main(["compare", *runs, "--labels", "x"]) == 2
    assert "1 label for 2 runs" in capsys.readouterr().err
    assert main(["compare", *runs, "--labels", "x,y", "--at", "rollouts"]) == 0
    assert "at rollout 40, the last that all runs have" in capsys.readouterr().out

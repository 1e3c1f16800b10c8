"""`mtgrpo train` with a real model: what it leaves behind, what it resumes, and what it refuses before loading one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.cli import main

REWARD = """
calls = []

def exact(completions, answer, **columns):
    calls.append(len(completions))
    right = [float(c.strip() == a) for c, a in zip(completions, answer)]
    if len(calls) <= {good}:
        return right
    {fault}
"""
FAULTS = {
    "raises": ("raise KeyError('answer')", "raised KeyError"),
    "NaN": ("return [float('nan')] * len(right)", "returned nan"),
    "None": ("return [None] * len(right)", "returned None"),
    "wrong length": ("return right[:1]", "1 value for 8 completions"),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(fault: str = "return right", good: int = 99, **changes: Any) -> str:
        rows = tmp_path / "rows.jsonl"
        rows.write_text(
            "".join(json.dumps({"prompt": f"{i}=", "answer": str(i)}) + "\n" for i in range(20))
        )
        reward = tmp_path / f"reward_{len(list(tmp_path.glob('reward_*')))}.py"
        reward.write_text(REWARD.replace("{fault}", fault).replace("{good}", str(good)))
        config = {
            "output": str(tmp_path / "run"),
            "tasks": [
                {"tiny": "zebra", "level": "easy"},
                {
                    "rows": str(rows),
                    "name": "say",
                    "reward": f"{reward}:exact",
                    "test_fraction": 0.2,
                },
            ],
            "preset": "grpo",  # one round a step, every group kept
            "steps": 2,
            "batch_size": 4,
            "group_size": 4,
            "max_completion_length": 4,
            "evaluation": {"samples_per_prompt": 2, "prompts_per_task": 2},
            "checkpoint": {"every": 1},
            **changes,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


def forbid_models(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedModel

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_goes_on_where_it_ended_and_refuses_to_become_another(
    write: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    config = write()
    assert main(["train", config]) == 0
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    for name in (
        "config.yaml",
        "environment.json",
        "completions.jsonl",
        "checkpoints/checkpoint-2/mixer.json",
    ):
        assert (run / name).is_file(), name
    assert main(["train", config, "--resume", "--set", "steps=3"]) == 0
    assert steps(run) == [1, 2, 3]
    capsys.readouterr()

    forbid_models(monkeypatch)
    assert main(["train", config]) == 2  # a finished run is not overwritten
    assert "already holds a run" in error_line(capsys)
    other = yaml.safe_load(Path(config).read_text())
    changed = {**other, "steps": 5, "learning_rate": 0.5}
    Path(config).write_text(yaml.safe_dump(changed))
    assert main(["train", config, "--resume"]) == 2
    line = error_line(capsys)
    for part in (str(run), "learning_rate=", "0.5", "resume with the same configuration"):
        assert part in line, line
    # All checkpoints damaged.
    Path(config).write_text(yaml.safe_dump({**other, "steps": 5}))
    for step in (2, 3):
        state = run / "checkpoints" / f"checkpoint-{step}" / "mixer.json"
        state.write_text(state.read_text()[:-20])
    assert main(["train", config, "--resume"]) == 2
    line = error_line(capsys)
    for part in (
        "checkpoint-3: mixer.json has",
        "no checkpoint of this run can be used (2 tried)",
    ):
        assert part in line, line
    assert steps(run) == [1, 2, 3]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_reward_ends_the_run_in_one_line_and_keeps_the_checkpoint(
    fault: str, write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = FAULTS[fault]
    run = tmp_path / "run"
    assert main(["train", write(code, good=2)]) == 1  # the evaluation and the first step are scored
    line = error_line(capsys)
    assert re.search(r"task 'say', prompts? \d+", line)
    assert message in line
    assert (run / "checkpoints" / "checkpoint-1" / "mixer.json").is_file()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["error"] in line
    assert steps(run) == [1]


def test_a_run_that_trained_on_nothing_does_not_end_well(
    write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(write("return [0.0] * len(right)", good=0, steps=1))
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "tasks": config["tasks"][1:]}))

    assert main(["train", str(path)]) == 1
    shown = capsys.readouterr().out
    assert f"run directory: {tmp_path / 'run'}" in shown
    assert f"{tmp_path / 'run'}: trained on nothing: in no step" in shown

    assert main(["train", str(path), "--resume"]) == 1
    assert "trained on nothing" in capsys.readouterr().out
    assert main(["train", str(path)]) == 2  # refused: nothing was opened
    assert capsys.readouterr().out == ""

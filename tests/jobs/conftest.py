"""A finished run of the embedded model, which every test gets a copy of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.cli import main

CONFIG: dict[str, Any] = {
    "tasks": [{"tiny": "zebra", "level": "easy"}, {"tiny": "countdown", "level": "easy"}],
    "preset": "balanced",
    "steps": 4,
    "batch_size": 4,
    "group_size": 4,
    "learning_rate": 1e-4,
    "max_completion_length": 6,
    "evaluation": {"samples_per_prompt": 2, "prompts_per_task": 4},
    "checkpoint": {"every": 2, "keep": 2},
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directory ``whole``, beside its ``config.yaml``. Look, do not touch."""
    place = tmp_path_factory.mktemp("finished")
    (place / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert train(place / "config.yaml", "--output", str(place / "whole")) == 0
    return place / "whole"


@pytest.fixture
def ended(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, killed just before it wrote its summary and its model."""
    run = tmp_path / "ended"
    shutil.copytree(finished, run)
    (run / "summary.json").unlink()
    shutil.rmtree(run / "model")
    return run


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the test does, it does before a model is loaded."""
    from transformers import PreTrainedModel

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)


def train(source: Path, *more: str) -> int:
    return main(["train", str(source), *more])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, by its path in the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def error_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one line that a command was refused with."""

    def read() -> str:
        lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]

    return read

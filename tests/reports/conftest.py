from __future__ import annotations

from pathlib import Path

import pytest

from mtgrpo.runlog import Run, read_run
from tests.synthetic_run import HOSTILE, write_synthetic_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_run(tmp_path_factory.mktemp("runs") / "demo", text="What is 2 + 2?")


@pytest.fixture(scope="session")
def run(run_dir: Path) -> Run:
    return read_run(run_dir)


@pytest.fixture(scope="session")
def hostile_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_run(
        tmp_path_factory.mktemp("runs") / "<b>$x$ & 'run'", tasks=HOSTILE, steps=12, every=4
    )

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from mtgrpo.errors import RunError
from mtgrpo.reports import figures as fig
from mtgrpo.reports.curves import step_curves
from mtgrpo.reports.figure_files import save
from mtgrpo.runlog import Run


def test_figures_are_reproducible(run: Run, tmp_path: Path) -> None:
    for folder in ("1", "2"):
        save({"w": fig.weights_figure(step_curves(run))}, tmp_path / folder, dpi=30)
    assert (tmp_path / "1" / "w.svg").read_bytes() == (tmp_path / "2" / "w.svg").read_bytes()


def test_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        save({}, tmp_path / "file" / "x")

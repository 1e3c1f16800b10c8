"""examples/quickstart.ipynb runs from top to bottom, on a CPU and without network."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from .pages import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_it_is_stored_without_outputs():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)

    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if "max_steps=30" in cell.source:
            cell.source = cell.source.replace("max_steps=30", "max_steps=4")
            cell.source = cell.source.replace("eval_steps=15", "eval_steps=4")

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own parts
        client = nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()

    texts = [
        str(output.get("text", "")) + str(output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    shown = "\n".join(texts)
    assert "shares met: 1" in shown
    assert "(score)" in shown
    assert "image/png" in shown
    assert (tmp_path / "runs" / "quickstart").is_dir()

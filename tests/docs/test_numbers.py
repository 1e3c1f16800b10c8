"""The figures of README and site are those of the committed records."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from .pages import PAGES, ROOT

GUIDES = ("README.md", "index.md", "choosing.md", "results.md", "how-it-works.md", "start.md")
READ = [page for page in PAGES if page.name in GUIDES and page.parent.name != "upstream"]
INTERVAL = re.compile(r"[+-]?\d*\.\d+ \([+-]?\d*\.\d+ to [+-]?\d*\.\d+\)")
LARGE = re.compile(r"\b\d{1,3}(?:,\d{3})+\b")


def script(name: str) -> ModuleType:
    path = ROOT / "research" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"research_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return script("tables")


def test_tables_are_those_of_the_records(tables):
    with_tables = [page for page in PAGES if "<!-- table:" in page.read_text(encoding="utf-8")]
    assert {page.name for page in with_tables} >= {"README.md", "results.md", "choosing.md"}

    for page in with_tables:
        text = page.read_text(encoding="utf-8")
        assert tables.written(text) == text, f"{page.name}: python research/tables.py"


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_intervals_and_large_numbers_are_from_the_records(page: Path, tables):
    known = "\n".join(write() for write in tables.TABLES.values())
    seeds = json.loads((ROOT / "benchmarks" / "demo.json").read_text(encoding="utf-8"))["seeds"]
    after = [100 * seed["worst_after"] for seed in seeds]
    known += f"\n{sum(after) / len(after):.1f} ({min(after):.1f} to {max(after):.1f})"
    for study in ("three_tasks_short", "three_tasks_long"):
        record = ROOT / "research" / "equal_cost" / f"{study}.json"
        ends = {f"{run.rollouts[-1]:,.0f}" for run in tables.load_results(record).runs}
        known += "\n" + " ".join(ends)

    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for figure in (*INTERVAL.findall(text), *LARGE.findall(text)):
        assert figure in known, f"{page.name}: {figure}"


def test_verdicts_on_the_paper_are_those_of_the_archive():
    archive = (ROOT / "docs" / "results-archive.md").read_text(encoding="utf-8")
    equal_steps, equal_rollouts = re.findall(r"^\d+ [^\n|]*\.$", archive, re.MULTILINE)[:2]
    assert (equal_steps, equal_rollouts) == (
        "1 confirmed, 6 undecided.",
        "6 undecided, 1 not confirmed.",
    )
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert "at equal steps one is confirmed and six are undecided" in page
    assert "at equal rollouts six are undecided and one goes the other way" in page


@pytest.mark.parametrize("study", ["three_tasks", "nine_tasks"])
def test_rank_correlations_of_the_simulator_are_those_of_the_record(study: str):
    record = json.loads((ROOT / "research" / f"{study}_simulated.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8")
    for figure in ("worst", "mean"):
        value, low, high = record["rank_correlation"][figure]
        assert f"{value:.2f} ({low:.2f} to {high:.2f})" in page


@pytest.mark.slow
def test_the_archive_is_written_from_the_records(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "research"))
    results = script("results")
    monkeypatch.setattr(results, "save", lambda *args, **kwargs: None)
    monkeypatch.setattr(results, "study_figures", lambda *args: [])
    monkeypatch.setattr(results, "PAGE", tmp_path / "page.md")
    results.main()

    archive = (ROOT / "docs" / "results-archive.md").read_text(encoding="utf-8")
    without_pictures = re.sub(r"\n!\[[^\n]*\n", "", archive)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == without_pictures
    for name in ("sections", "claims"):
        sys.modules.pop(name, None)


def test_pictures_are_drawn_by_their_script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import pictures

    for name, draw in pictures.PICTURES.items():
        committed = (ROOT / "docs" / "images" / name).read_text(encoding="utf-8")
        assert draw() == committed, f"{name}: python tools/pictures.py"

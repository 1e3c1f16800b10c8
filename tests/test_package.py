"""What a package index and a forge are told: versions, README, workflows."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REWRITE = runpy.run_path(str(ROOT / "tools" / "links.py"))["rewrite"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RELATIVE = re.compile(r"\]\((?!\w+:|#)")


def test_one_version_everywhere():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    releases = re.findall(r"^## \[([\d.]+)\]", changelog, re.MULTILINE)

    assert releases[0] == PROJECT["project"]["version"] == citation["version"] == __version__
    assert releases == sorted(releases, reverse=True)
    assert len(releases) >= 2


def test_no_placeholder_is_left_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not re.findall(r"\b(?:TODO|TBD|XXX|[A-Z]+_RATIO)\b", changelog)


def test_every_python_that_is_promised_has_its_classifier():
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=3.")
    minors = re.findall(r"Python :: 3\.(\d+)", " ".join(PROJECT["project"]["classifiers"]))
    assert [int(minor) for minor in minors] == list(range(int(lowest), int(minors[-1]) + 1))


def test_the_packages_readme_has_no_link_that_leads_nowhere():
    alone = REWRITE(README, "", None, lambda file: False)
    assert not RELATIVE.search(alone)
    assert "![" not in alone
    assert "Start in five minutes" in alone

    home = "https://forge.example/us/mtgrpo"
    shown = REWRITE(README, "", home, lambda file: False, "v1.2.3")
    assert not RELATIVE.search(shown)
    assert f"]({home}/raw/v1.2.3/docs/images/demo-accuracy.svg)" in shown
    assert f"]({home}/blob/v1.2.3/docs/start.md)" in shown


def test_links_in_code_and_within_the_page_stay():
    text = "[a](#b) [c](https://d)\n```\n[e](f.md)\n```\n[g](../h.md#i)"
    assert REWRITE(text, "docs", None, lambda file: False) == text.replace("[g](../h.md#i)", "g")
    assert REWRITE(text, "docs", None, lambda file: True) == text


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=str)
def test_workflows_call_targets_that_are_there(path: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}

    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        assert set(re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))) <= targets
    assert all(
        "timeout-minutes" in job or "environment" in job for job in workflow["jobs"].values()
    )

"""Source files and dotted names of the package that the docs mention exist."""

from __future__ import annotations

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mtgrpo.integrations.verl.settings import VerlSettings

from .source import ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

FOLDERS = ("src", "tests", "benchmarks", "examples", "research", "docs", "mtgrpo")
PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./<>*-]*")
NAME = re.compile(r"(?<![\w./])mtgrpo(?:\.\w+)+")

# What a verl run is told is `data.mtgrpo.<key>`, `mtgrpo.<key>` for short.
VERL_KEYS = {field.name for field in fields(VerlSettings)}


def mentioned(pattern: re.Pattern[str], page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return sorted({match[0].rstrip(".") for match in pattern.finditer(text)})


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:i]))
            except ImportError:
                return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_lead_somewhere(page: Path) -> None:
    stale = []
    for path in mentioned(PATH, page):
        is_pattern = any(mark in path for mark in "<*")
        if not is_pattern and not (ROOT / path).exists() and not (ROOT / "src" / path).exists():
            stale.append(path)

    assert stale == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_can_be_imported(page: Path) -> None:
    names = [name for name in mentioned(NAME, page) if name.split(".")[1] not in VERL_KEYS]
    assert [name for name in names if not exists(name)] == []


def test_there_is_something_to_look_at() -> None:
    assert sum(len(mentioned(PATH, page)) for page in PAGES) > 50
    assert sum(len(mentioned(NAME, page)) for page in PAGES) > 15

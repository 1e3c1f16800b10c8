"""docs/paper-map.md names files, functions and tests; all of them are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper-map.md").read_text(encoding="utf-8")
ROWS = [
    line.split(" | ")
    for line in PAGE.splitlines()
    if re.search(r"`(tests|core|tasks|integrations)/", line)
]
ROWS = [row for row in ROWS if len(row) == 4]


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| ")[:40])
def test_every_row_leads_to_code_and_to_a_test(row: list[str]) -> None:
    _, here, tests, _ = row
    text = ""
    for word in re.findall(r"`([^`]+)`", here):
        if word.endswith(".py"):
            text = (ROOT / "src" / "mtgrpo" / word).read_text(encoding="utf-8")
        else:
            assert re.search(rf"^\s*(class|def) {word}\b|^{word}\b", text, flags=re.MULTILINE), word
    named = re.findall(r"`(tests/[^`]+)`", tests)
    assert named
    for path in named:
        assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), path

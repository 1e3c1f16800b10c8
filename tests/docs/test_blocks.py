"""Every code block of the pages runs, or says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mtgrpo.cli.parser import make_parser
from mtgrpo.config import load_config

from .pages import PAGES, ROOT, Block, blocks
from .runner import commands, run_blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = [page for page in PAGES if any(block.runs for block in blocks(page))]


def is_slow(page: Path) -> bool:
    return any(block.marker == "slow" for block in blocks(page))


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] if is_slow(p) else [], id=p.stem) for p in RUN],
)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run_blocks(blocks(page))
    capsys.readouterr()


@pytest.mark.parametrize("block", [b for b in BLOCKS if not b.runs], ids=str)
def test_what_does_not_run_says_why_or_where_it_does(block: Block):
    marker = block.marker or ""
    reason = re.fullmatch(r"not run: (.{8,})", marker)
    elsewhere = re.fullmatch(r"run by (tests/\S+\.py)", marker)
    assert reason or elsewhere, f"{block}: {marker!r} says neither why not nor where"

    if elsewhere:
        test = (ROOT / elsewhere[1]).read_text(encoding="utf-8")
        assert block.page.name in test, f"{block}: {elsewhere[1]} does not name the page"


def test_commands_are_understood_whether_they_run_or_not(capsys):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    seen = 0

    for block in BLOCKS:
        if block.kind != "shell":
            continue
        for words in commands(block.code):
            if words[0] == "make":
                assert set(words[1:]) <= targets, block
            elif words[0] == "mtgrpo":
                understood(words[1:], block)
                seen += 1

    assert seen > 20
    capsys.readouterr()


def understood(words: list[str], block: Block) -> None:
    if words == ["--version"] or words[0] == "--print-completion":
        return
    options = make_parser().parse_args(words)
    if options.command == "train" and not block.runs and "." not in words[1]:
        load_config(words[1])

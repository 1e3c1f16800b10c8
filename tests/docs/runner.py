"""Carries out the code blocks of a page, one after the other, in a folder of their own."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mtgrpo.cli import main
from mtgrpo.config import parse_config

from .pages import Block

DEMO = {
    "output": "runs/page",
    "model": "tiny",
    "preset": "mt_grpo",
    "tasks": [{"tiny": "countdown", "level": "easy"}, {"tiny": "zebra", "level": "easy"}],
    "steps": 2,
    "batch_size": 4,
    "group_size": 4,
}


def run_blocks(blocks: Sequence[Block]) -> None:
    """Run what is to be run, in the working directory.

    Python blocks share their names. A block with a title becomes a file of that name first.
    """
    scripts = " ".join(b.code for b in blocks if b.kind == "shell" and b.runs)
    names: dict[str, Any] = {"__name__": "page"}

    for block in blocks:
        if not block.runs:
            continue
        if block.title is not None:
            Path(block.title).write_text(block.code, encoding="utf-8")

        if block.kind == "shell":
            for line in commands(block.code):
                run_command(line, str(block))
        elif block.kind == "yaml":
            check_configuration(block)
        elif f"python {block.title}" not in scripts:
            exec(compile(block.code, str(block), "exec"), names)


def commands(code: str) -> list[list[str]]:
    """The words of each command, without comments."""
    joined = re.sub(r"\\\n\s*", " ", code)
    lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [words for words in lines if words]


def run_command(words: list[str], where: str) -> None:
    """A command of ours, or a script, in this process."""
    if words[0] == "mtgrpo":
        assert main(words[1:]) == 0, f"{where}: {shlex.join(words)}"
    elif words[0] == "python" and words[1].endswith(".py"):
        runpy.run_path(words[1], run_name="__main__")
    else:
        raise AssertionError(f"{where}: {words[0]!r} is no command that runs here; say why not")


def check_configuration(block: Block) -> None:
    """What the block says is a configuration, or keys of one."""
    values = {**DEMO, **yaml.safe_load(block.code)}
    parse_config(values, str(block))

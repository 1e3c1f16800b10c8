"""Scripts beside the package import names that it has: most of them run in no quick test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .source import ROOT, SOURCE

FOLDERS = ("benchmarks", "examples", "research")
SCRIPTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def file_of(module: str) -> Path | None:
    place = SOURCE.joinpath(*module.split(".")[1:])
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def has(module: str, name: str) -> bool:
    """Whether a module binds a name, or is a package with a module of that name."""
    file = file_of(module)
    if file is None:
        return False
    if file_of(f"{module}.{name}") is not None:
        return True

    bound: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            bound.add(node.value)  # names that are imported when they are asked for
    return name in bound


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_script_imports_of_the_package_is_there(path):
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mtgrpo"
        for alias in node.names
        if not has(node.module or "", alias.name)
    ]
    assert not missing


def test_a_name_that_is_gone_is_found_missing():
    assert has("mtgrpo", "TaskMixer")
    assert has("mtgrpo.core.one_round", "OneRoundSampler")
    assert not has("mtgrpo.jobs.model_files", "model_shape")
    assert not has("mtgrpo.nowhere", "TaskMixer")

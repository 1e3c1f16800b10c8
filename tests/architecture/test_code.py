"""What the code never does, how large its files are, and how much air is in it."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from .house import PRINTS
from .source import NAMES, calls, imports, room, text, tree

LONG = 15  # lines from which on a function needs air


# ---- never -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_what_is_never_called(name):
    for line, function in calls(name):
        assert function not in ("eval", "exec", "compile", "__import__"), (
            f"{name}:{line}: {function}"
        )
        assert function not in ("yaml.load", "yaml.unsafe_load", "np.load"), (
            f"{name}:{line}: {function}"
        )
        if name not in PRINTS:
            assert function != "print", (
                f"{name}:{line}: print; the command line prints, nothing else does"
            )
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    assert not {module.split(".")[0] for module in imports(name)} & unsafe, name


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_not_swallowed(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}: bare except"
        if room(name) == "core":
            assert not isinstance(node, ast.Assert), (
                f"{name}:{node.lineno}: assert; raise an error of mtgrpo.errors"
            )


# ---- size and air ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_files_stay_small(name):
    length = len(text(name).splitlines())
    assert length <= 350, (
        f"{name} has {length} lines; find the second thing it does and give it a file"
    )
    assert Path(name).stem not in ("utils", "util", "helpers", "common", "misc")


def test_the_median_file_is_read_in_one_go():
    assert statistics.median(len(text(name).splitlines()) for name in NAMES) <= 126


def test_nine_lines_of_ten_are_at_most_90_wide():
    widths = sorted(len(line) for name in NAMES for line in text(name).splitlines() if line.strip())
    assert widths[int(0.9 * len(widths))] <= 90


@pytest.mark.parametrize("rooms", ["all", "core"])
def test_long_functions_have_air_between_their_steps(rooms):
    names = [name for name in NAMES if rooms in ("all", room(name))]
    blank = {name: air(name) for name in names}
    share = sum(b for b, _ in blank.values()) / sum(n for _, n in blank.values())

    dense = sorted((b / n, name) for name, (b, n) in blank.items() if n >= 50)
    assert share >= 0.08, f"{100 * share:.1f} % blank lines in {rooms}; densest: {dense[:12]}"


def air(name: str) -> tuple[int, int]:
    """Blank lines outside docstrings, and all lines, of the functions of `LONG` lines and more."""
    lines = text(name).splitlines()
    blank = total = 0

    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            span = range(node.lineno, _end(node) + 1)
            if len(span) >= LONG:
                skipped = _docstrings(node)
                total += len(span)
                blank += sum(not lines[i - 1].strip() and i not in skipped for i in span)
    return blank, total


def _docstrings(function: ast.AST) -> set[int]:
    inside = set[int]()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = _first(node.body)
            if first is not None:
                inside.update(range(first.lineno, _end(first) + 1))
    return inside


def _first(body: Sequence[ast.stmt]) -> ast.Expr | None:
    """The docstring of a body, where it has one."""
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno

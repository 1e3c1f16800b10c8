"""The files of the package as syntax trees, and what each of them imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mtgrpo"
NAMES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@functools.cache
def text(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(text(name))


def room(name: str) -> str:
    """The folder, or the file, directly under ``mtgrpo`` that a file belongs to."""
    return Path(name).parts[0].removesuffix(".py")


def calls(name: str) -> Iterator[tuple[int, str]]:
    """Line and function of each call."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Modules a file imports: in functions, under TYPE_CHECKING, by ``require`` and by ``import_module`` too."""
    modules = set[str]()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import; write the full name"
            assert node.module is not None
            modules.add(node.module)
        elif isinstance(node, ast.Call) and _imports_by_name(node):
            first = node.args[0]
            assert isinstance(first, ast.Constant)
            modules.add(str(first.value))
    return frozenset(modules)


def _imports_by_name(node: ast.Call) -> bool:
    function = ast.unparse(node.func).split(".")[-1]
    if function not in ("require", "import_module"):
        return False
    return bool(node.args) and isinstance(node.args[0], ast.Constant)

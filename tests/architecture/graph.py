"""Which file imports which: the import graph of a folder, its circles, and the picture in docs/design.md.

All imports count, those in functions and under TYPE_CHECKING too: a file that names another one cannot be understood
without it. An ``__init__`` that only hands names on is a face: who imports a name from it depends on the name's home.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Graph: TypeAlias = "dict[str, set[str]]"


def import_graph(folder: Path, package: str = "") -> Graph:
    """File -> files of the same folder it imports.

    Args:
        folder: Root of a package, or a folder of scripts that import each other by their bare names.
        package: Its dotted name; empty for scripts.

    Returns:
        Keys and values are paths relative to `folder`.
    """
    files = _Files(folder, package)
    return {path: files.imported_by(path) - {path} for path in files.trees}


class _Files:
    def __init__(self, folder: Path, package: str) -> None:
        paths = sorted(folder.rglob("*.py"))
        self.package = package
        self.trees = {
            path.relative_to(folder).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in paths
        }
        self.modules = {self._module(path): path for path in self.trees}
        self.handed_on = {path: self._handed_on(path) for path in self.trees}

    def _module(self, path: str) -> str:
        parts = [self.package] if self.package else []
        parts += path.removesuffix(".py").split("/")
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts)

    def _handed_on(self, path: str) -> dict[str, str]:
        """Names that a face passes on, with the module each comes from; nothing for a file that is no face."""
        if not path.endswith("__init__.py"):
            return {}
        homes: dict[str, str] = {}
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.ImportFrom) and node.module:
                homes.update({alias.asname or alias.name: node.module for alias in node.names})
        return homes

    def imported_by(self, path: str) -> set[str]:
        targets = set[str]()
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.Import):
                targets.update(alias.name for alias in node.names if alias.name in self.modules)
            elif isinstance(node, ast.ImportFrom) and node.module in self.modules:
                targets.update(self._home(node.module, alias.name) for alias in node.names)
        return {self.modules[module] for module in targets}

    def _home(self, module: str, name: str) -> str:
        """The module that a name imported from `module` depends on."""
        if f"{module}.{name}" in self.modules:
            return f"{module}.{name}"

        home = self.handed_on[self.modules[module]].get(name)
        if home is None or home not in self.modules:
            return module
        return self._home(home, name)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Every group of files that import each other, directly or through others (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_files: list[str] = []
    groups: list[list[str]] = []

    def visit(file: str) -> None:
        order[file] = lowest[file] = len(order)
        open_files.append(file)

        for other in sorted(graph[file]):
            if other not in order:
                visit(other)
            if other in open_files:
                lowest[file] = min(lowest[file], lowest[other])

        if lowest[file] == order[file]:
            start = open_files.index(file)
            group = open_files[start:]
            del open_files[start:]
            if len(group) > 1:
                groups.append(sorted(group))

    for file in sorted(graph):
        if file not in order:
            visit(file)
    return groups


def room_graph(graph: Mapping[str, set[str]]) -> Graph:
    """Room -> rooms it imports. A room is a folder, or a file, directly under the root."""
    rooms: Graph = {}
    for file, others in graph.items():
        here = rooms.setdefault(_room(file), set())
        here.update(_room(other) for other in others)
    return {name: others - {name} for name, others in rooms.items()}


def _room(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def without_detours(graph: Mapping[str, set[str]]) -> Graph:
    """The same graph without arrows that a longer way implies; `graph` has no circle."""
    reached = {node: set(_reachable(graph, node)) for node in graph}
    plain: Graph = {}
    for node, others in graph.items():
        implied = {far for other in others for far in reached[other]}
        plain[node] = others - implied
    return plain


def _reachable(graph: Mapping[str, set[str]], node: str) -> Iterator[str]:
    for other in graph[node]:
        yield other
        yield from _reachable(graph, other)


def drawing(rooms: Mapping[str, set[str]], floors: Sequence[Sequence[str]]) -> str:
    """The rooms as a Mermaid flowchart, top floor first, without the arrows that a longer way implies."""
    arrows = without_detours(rooms)
    lines = ["flowchart TD"]
    for floor in reversed(floors):
        for room in floor:
            below = " & ".join(shown(other) for other in sorted(arrows[room]))
            if below:
                lines.append(f"  {shown(room)} --> {below}")
    return "\n".join(lines)


def shown(room: str) -> str:
    """A room's name on a page."""
    return {"__init__": "mtgrpo", "__main__": "main"}.get(room, room)

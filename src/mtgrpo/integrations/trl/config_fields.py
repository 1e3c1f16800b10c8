"""The fields of TRL's ``GRPOConfig``, read from its source: importing it takes seconds."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mtgrpo.errors import ConfigError, require, unknown

# The class, and what it inherits from, by package.
SOURCES: Final = (
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)
NUMBERS: Final[Mapping[str, Any]] = {
    "int": int,
    "float": float,
    "int | None": int | None,
    "float | None": float | None,
    "Optional[int]": int | None,
    "Optional[float]": float | None,
}
"""Types of fields that hold numbers, as a source writes them."""


def field_type(name: str) -> str:
    """The type of a field, as its source writes it.

    Raises:
        ConfigError: There is no such field.
        MissingExtra: TRL is not installed.
    """
    known = _fields_in_sources()
    if name not in known:  # or the source is laid out otherwise than we know
        known = _fields_of_class()
    if name not in known:
        raise ConfigError(unknown("trl", "GRPOConfig field", name, known))
    return known[name]


@functools.cache
def _fields_in_sources() -> Mapping[str, str]:
    types: dict[str, str] = {}

    for package, file, name in SOURCES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            require(package, "trl")
            continue

        path = Path(spec.origin).parent / file
        if path.is_file():
            types = {**_fields_of_source(path.read_text(encoding="utf-8"), name), **types}

    return types


def _fields_of_source(source: str, name: str) -> dict[str, str]:
    """Annotated names in the body of a class."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {
                line.target.id: ast.unparse(line.annotation)
                for line in node.body
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            }
    return {}


def _fields_of_class() -> Mapping[str, str]:
    from trl.trainer.grpo_config import GRPOConfig

    types: dict[str, str] = {}
    for field in fields(GRPOConfig):
        kind: Any = field.type
        types[field.name] = kind.__name__ if isinstance(kind, type) else str(kind)
    return types

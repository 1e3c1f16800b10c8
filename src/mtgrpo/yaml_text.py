"""YAML as people write it, and within bounds.

``1e-5`` is a number and ``2024-01-31`` is text; PyYAML, of version 1.1 of the language, takes them
for text and for a date. A document that nests too deep, is too large, or becomes so by its aliases
is refused before it is built.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from mtgrpo.errors import ConfigError, require
from mtgrpo.values import shorten

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_VALUES = 100_000

_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_MERGE = "tag:yaml.org,2002:merge"


class _DuplicateKey(Exception):
    """A key stands twice in a mapping; the key and both lines."""


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML document; never anything but plain values.

    Raises:
        ConfigError: It is not YAML, or out of bounds; `where` is named.
    """
    yaml = require("yaml", "cli")
    try:
        _check_bounds(text, where)
        loader = _loader()(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except _DuplicateKey as error:
        key, first, line = error.args
        raise ConfigError(
            f"{where}: line {line}: the key {shorten(key)} is given twice, first in line {first}; "
            "keep one of them"
        ) from None
    # PyYAML lets through what int() raises at thousands of digits.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise

        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def read_yaml(path: Path) -> Any:
    """The value of a YAML file.

    Raises:
        ConfigError: It cannot be read, is not YAML, or is out of bounds; the message names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)

        if len(content) > MAX_BYTES:
            raise _too_large(str(path))

        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a readable YAML file") from None

    return parse_yaml(text, str(path))


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """``["a.b=1", "c=x"]`` as nested plain values, the right-hand sides read as YAML.

    Raises:
        ConfigError: Not of the form ``key=value``.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        assign(values, assignment)
    return values


def assignment_place(assignment: str) -> str:
    """How an error message names an assignment."""
    return f"--set {shorten(assignment)[1:-1]}"


def assigned_keys(assignments: Sequence[str]) -> str:
    """How an error message names which keys were assigned: values may be long."""
    keys = (assignment.partition("=")[0] for assignment in assignments)
    return f"--set {', '.join(shorten(key)[1:-1] for key in dict.fromkeys(keys))}"


def assign(values: dict[str, Any], assignment: str) -> None:
    """Carry out ``a.b=c``, as given to ``--set``, on nested values in place.

    Raises:
        ConfigError: Not of that form, no YAML value, or nothing that has such a key.
    """
    where = assignment_place(assignment)
    path, equals, text = assignment.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(f"{where}: not of the form a.b=value")

    value = parse_yaml(text, where)

    here: Any = values
    for i, key in enumerate(keys):
        is_last = i == len(keys) - 1
        if isinstance(here, list) and key.isdecimal() and int(key) < len(here):
            if is_last:
                here[int(key)] = value

            here = here[int(key)]
        elif isinstance(here, dict):
            if is_last:
                here[key] = value

            here = here.setdefault(key, {})
        else:
            raise ConfigError(f"{where}: {_no_such_key(here, '.'.join(keys[:i]), key)}")


def _no_such_key(value: Any, place: str, key: str) -> str:
    """Why a value that is no mapping has nothing of that key."""
    if not isinstance(value, list):
        return f"{place} is not a mapping that has {key!r}"

    num_entries = len(cast("list[Any]", value))
    found = f"{place} is a list of {num_entries}, which has no {key!r}"
    if num_entries < 2:
        return f"{found}; its only entry is {place}.0" if num_entries else found
    return f"{found}; its entries are {place}.0 to {place}.{num_entries - 1}"


@functools.cache
def _loader() -> Any:
    yaml = require("yaml", "cli")

    class Loader(yaml.SafeLoader):
        """The safe loader, with the floats of YAML 1.2, and without dates: these are texts.

        A key that stands twice in a mapping is refused: of two values one would be lost.
        """

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            lines: dict[tuple[str, str], int] = {}

            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                    continue

                line = key.start_mark.line + 1
                name = (key.tag, key.value)
                if name in lines:
                    raise _DuplicateKey(key.value, lines[name], line)
                lines[name] = line
            return node

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    return Loader


def _check_bounds(text: str, where: str) -> None:
    """Walk through the document without building it, as building one recurses.

    An alias counts as all that it stands for: a few lines of them can mean billions of values.
    """
    if len(text) > MAX_BYTES:
        raise _too_large(where)

    yaml = require("yaml", "cli")
    num_values = 0
    sizes: dict[str | None, int] = {}  # values in each anchored part that is complete
    open_parts: list[tuple[str | None, int]] = []  # anchor, and the count where it began

    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == name for name, _ in open_parts):
                raise ConfigError(f"{where}: the alias *{anchor} contains itself; write it out")

            num_values += sizes.get(anchor, 0)

        elif isinstance(event, yaml.CollectionStartEvent):
            open_parts.append((anchor, num_values))
            num_values += 1

        elif isinstance(event, yaml.CollectionEndEvent):
            name, start = open_parts.pop()
            if name is not None:
                sizes[name] = num_values - start

        elif isinstance(event, yaml.ScalarEvent):
            num_values += 1
            if anchor is not None:
                sizes[anchor] = 1

        if len(open_parts) > MAX_DEPTH:
            raise ConfigError(
                f"{where}: values are nested more than {MAX_DEPTH} deep; "
                "nothing in a configuration is: look for brackets that are not closed"
            )

        if num_values > MAX_VALUES:
            raise _too_large(where)


def _too_large(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: more than {MAX_BYTES // 2**10} KiB or {MAX_VALUES:,} values; "
        "keep rows in a .jsonl file of their own"
    )

"""Plain values, as YAML and JSON give them, against the types that are declared for them."""

from __future__ import annotations

import dataclasses
import numbers
import re
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from mtgrpo.errors import ConfigError, unknown

T = TypeVar("T")

# Control characters, marks that turn the direction of writing, and halves of surrogate pairs.
_CONTROLS = r"\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE_IN_LINES = re.compile(rf"[\x00-\x08{_CONTROLS}]")
_UNSAFE = re.compile(rf"[\x00-\x0a{_CONTROLS}]")

_NEEDED: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}
_GIVEN: Mapping[type, str] = {
    str: "text",
    bool: "true/false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    type(None): "empty",
}


def check_type(value: Any, annotation: Any, where: str) -> Any:
    """`value`, if it fits the annotation.

    Whole numbers pass as floats and lists as sequences; numpy's numbers become Python's.

    Args:
        value: A plain value.
        annotation: The type declared for it, such as ``float | None`` or ``Mapping[str, float]``.
        where: Begins the error message.

    Raises:
        ConfigError: It does not fit; the message names `where`, the value and the type.
    """
    if not _fits(value, annotation):
        raise ConfigError(
            f"{where}: {shorten(value)} is {_given(value)}; "
            f"{_needed(annotation)}{_keys_hint(value)} is needed{_quotes_hint(value, annotation)}"
        )

    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value

    if isinstance(value, int) and value.bit_length() > 63:
        raise ConfigError(f"{where}: a number of {value.bit_length()} bits; 63 are allowed")

    # YAML and JSON cannot write numpy's numbers.
    if isinstance(value, numbers.Integral) and annotation is not float:
        return int(value)

    return float(value)


def parse_dataclass(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from a mapping of plain values; fields that are dataclasses take mappings.

    Args:
        cls: The dataclass. Its annotations say what each key may hold.
        values: The mapping.
        where: Begins error messages.

    Raises:
        ConfigError: No mapping, an unknown key, a missing one, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {shorten(values)}; a mapping of keys to values is needed")

    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(unknown(where, "key", key, hints, most=len(hints)))

        arguments[key] = _parse_field(value, hints[key], f"{where}: {key}")

    for field in dataclasses.fields(typing.cast("Any", cls)):
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if field.name not in arguments and not has_default:
            raise ConfigError(f"{where}: the key {field.name!r} is missing")

    return cls(**arguments)


def shorten(value: object) -> str:
    """`value` as it is shown in an error message: long ones cut, on one line."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 200
    shown.maxdict = shown.maxlist = shown.maxtuple = 12
    return " ".join(shown.repr(value).split())


def printable(text: object, *, lines: bool = False) -> str:
    """Text as a terminal may show it: what would move its cursor or colour it is written out.

    Args:
        text: Anything; it is shown as ``str`` has it.
        lines: Keep line breaks and tabs.
    """
    unsafe = _UNSAFE_IN_LINES if lines else _UNSAFE
    return unsafe.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def _parse_field(value: Any, annotation: Any, where: str) -> Any:
    for option in (annotation, *typing.get_args(annotation)):
        if not (isinstance(option, type) and dataclasses.is_dataclass(option)):
            continue

        may_be_null = option is not annotation
        if value is None and may_be_null:
            return None
        return parse_dataclass(option, value, where)
    return check_type(value, annotation, where)


def _fits(value: Any, annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    inner = typing.get_args(annotation)

    if annotation is Any:
        return True

    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)

    if annotation is type(None):
        return value is None

    if annotation is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)

    if annotation is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)

    if annotation in (str, bool):
        return isinstance(value, annotation)

    container = origin or annotation
    if not isinstance(container, type):
        return True

    if issubclass(container, Mapping):
        return _fits_mapping(value, inner)

    if _is_list(container):
        items = inner[:1]
        return isinstance(value, list | tuple) and all(
            _fits(item, kind) for item in value for kind in items
        )

    if container.__name__ == "Callable":
        return callable(value)

    return isinstance(value, container)


def _fits_mapping(value: Any, inner: tuple[Any, ...]) -> bool:
    if not isinstance(value, Mapping):
        return False
    if not inner:
        return True

    of_keys, of_values = inner
    return all(_fits(key, of_keys) and _fits(item, of_values) for key, item in value.items())


def _is_list(container: Any) -> bool:
    return container in (list, tuple) or getattr(container, "__name__", "") == "Sequence"


def _given(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return _GIVEN.get(type(value), type(value).__name__)


def _needed(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    inner = typing.get_args(annotation)

    if origin in (typing.Union, types.UnionType):
        return " or ".join(_needed(option) for option in inner)

    if annotation in _NEEDED:
        return _NEEDED[annotation]

    container = origin or annotation
    if isinstance(container, type) and issubclass(container, Mapping):
        return "a mapping" + _of_items(inner[1:])

    if _is_list(container):
        return "a list" + _of_items(inner[:1])

    return getattr(container, "__name__", str(annotation))


def _of_items(kinds: tuple[Any, ...]) -> str:
    """Words for what a list or a mapping holds, where that is more than anything."""
    if not kinds or kinds[0] is Any:
        return ""
    name = _needed(kinds[0])
    if " or " in name:
        return f" whose values are {name}"
    return f" of {name.removeprefix('a ')}s"


def _keys_hint(value: Any) -> str:
    if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
        return " with text for keys"
    return ""


def _quotes_hint(value: Any, annotation: Any) -> str:
    if not isinstance(value, str) or annotation not in (float, int):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return "; no quotes"

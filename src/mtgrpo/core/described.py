"""Objects that say how they were made: the constructor's arguments, and a repr that shows them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mtgrpo.errors import ConfigError


class Described:
    """Base of rules, samplers, planners and estimates: ``repr`` shows the call that makes it.

    A subclass keeps each argument of its constructor in an attribute of the same name.
    Where that name is taken, by a method or by what was made of the argument, the
    argument as given has an underscore after its name: ``weights_`` for ``weights``.
    """

    def __repr__(self) -> str:
        arguments = [f"{name}={_show(value)}" for name, value in _arguments(self)]
        return f"{type(self).__name__}({', '.join(arguments)})"


def constructor_arguments(described: object) -> dict[str, Any]:
    """The arguments of the object's constructor with the values the object was made with, in order.

    Raises:
        ConfigError: The class does not keep one of its arguments.
    """
    arguments = dict(_arguments(described))
    for name, value in arguments.items():
        if value is _LOST:
            raise ConfigError(
                f"{type(described).__name__}: its argument {name!r} is not kept; "
                f"store it as self.{name} in __init__"
            )
    return arguments


class _Lost:
    """Stands for an argument that its class does not keep."""

    def __repr__(self) -> str:
        return "?"


_LOST = _Lost()


def _arguments(described: object) -> Iterator[tuple[str, Any]]:
    constructor = type(described).__init__
    if constructor is object.__init__:
        return

    parameters = list(inspect.signature(constructor).parameters.values())[1:]  # without self
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kept = getattr(described, parameter.name, _LOST)
        yield parameter.name, getattr(described, f"{parameter.name}_", kept)


def _show(value: Any) -> str:
    # A function's own repr shows an address.
    if inspect.isfunction(value):
        return value.__qualname__
    return repr(value)

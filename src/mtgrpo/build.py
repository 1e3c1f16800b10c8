"""Descriptions -> objects: a mapping of plain values becomes a weighting or a sampler.

The keys of a description are the constructor's own arguments, so a default lives in one place: the
signature. The way back is `mtgrpo.core.parts`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.parts import ACCEPTANCES, PLANNERS, SAMPLERS, WEIGHTINGS
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import check_type, shorten


def build_weighting(spec: Mapping[str, Any], where: str = "weighting") -> TaskWeighting:
    """A weighting from ``{"rule": name, <argument>: value, ...}``.

    Raises:
        ConfigError: Unknown rule or argument, or a value of the wrong type or range; `where` is
            named.
    """
    return _choose(spec, "rule", WEIGHTINGS, where)


def build_sampler(spec: Mapping[str, Any], where: str = "sampler") -> Sampler:
    """A sampler from ``{"rounds": name, <argument>: value, ...}``.

    ``rounds`` is ``refill``, the default, or ``one``; ``planner`` and ``acceptance`` are mappings
    with a ``kind``.

    Raises:
        ConfigError: As `build_weighting`.
    """
    arguments = {"rounds": "refill", **spec}
    for key, table in (("planner", PLANNERS), ("acceptance", ACCEPTANCES)):
        if key in arguments:
            arguments[key] = _choose(arguments[key], "kind", table, f"{where}.{key}")
    return _choose(arguments, "rounds", SAMPLERS, where)


def _choose(spec: Any, key: str, table: Mapping[str, type[Any]], where: str) -> Any:
    """The object of the class that ``spec[key]`` names, made of the other entries."""
    if not isinstance(spec, Mapping) or key not in spec:
        raise ConfigError(
            f"{where}: {shorten(spec)}; a mapping with the key {key!r} is needed, "
            f"one of: {', '.join(table)}"
        )

    name = check_type(spec[key], str, f"{where}.{key}")
    if name not in table:
        raise ConfigError(unknown(where, key, name, table))

    arguments = {k: v for k, v in spec.items() if k != key}
    return _construct(table[name], arguments, where)


def _construct(cls: type[Any], arguments: Mapping[str, Any], where: str) -> Any:
    parameters = _parameters(cls)
    for name in arguments:
        if name not in parameters:
            raise ConfigError(unknown(where, "key", name, parameters or ["(none)"]))

    hints = typing.get_type_hints(cls.__init__)
    checked = {
        name: check_type(value, hints.get(name, Any), f"{where}.{name}")
        for name, value in arguments.items()
    }

    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in checked:
            raise ConfigError(f"{where}: {name!r} is missing; {cls.__name__} needs it")

    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    if cls.__init__ is object.__init__:
        return {}
    parameters = dict(inspect.signature(cls.__init__).parameters)
    del parameters["self"]
    return parameters

"""Descriptions -> objects: a mapping of plain values becomes a weighting or a sampler.

The keys of a description are the constructor's own arguments, so a default lives in one place: the
signature. The way back is `mtgrpo.core.registry`. What has a colon in its name is the user's own
and is imported.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from mtgrpo.core.acceptance import AcceptanceEstimate
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.described import constructor_arguments
from mtgrpo.core.filters import GroupFilter
from mtgrpo.core.planners import RoundPlanner
from mtgrpo.core.registry import ACCEPTANCES, PLANNERS, SAMPLERS, WEIGHTINGS
from mtgrpo.core.types import Group, Verdict
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.imports import import_class, import_function, is_import_path
from mtgrpo.values import check_type, shorten


def build_weighting(spec: Mapping[str, Any], where: str = "weighting") -> TaskWeighting:
    """A weighting from ``{"rule": name, <argument>: value, ...}``.

    Raises:
        ConfigError: Unknown rule or argument, or a value of the wrong type or range; `where` is
            named.
    """
    return _choose(spec, "rule", WEIGHTINGS, TaskWeighting, where)


def build_sampler(spec: Mapping[str, Any], where: str = "sampler") -> Sampler:
    """A sampler from ``{"rounds": name, <argument>: value, ...}``.

    ``rounds`` is ``refill``, the default, or ``one``; ``planner`` and ``acceptance`` are mappings
    with a ``kind``.

    Raises:
        ConfigError: As `build_weighting`.
    """
    arguments = {"rounds": "refill", **spec}
    if arguments["rounds"] == "refill" and arguments.get("probes") is not None:
        raise ConfigError(
            f"{where}: probes={shorten(arguments['probes'])} with rounds=refill; groups that count "
            "for several do not fit quotas; add rounds: one, or take a preset that has it, such as "
            "grpo_fair"
        )
    for key, table, base in (
        ("planner", PLANNERS, RoundPlanner),
        ("acceptance", ACCEPTANCES, AcceptanceEstimate),
    ):
        if key in arguments:
            arguments[key] = _choose(arguments[key], "kind", table, base, f"{where}.{key}")

    group_filter = arguments.get("group_filter")
    if isinstance(group_filter, str) and is_import_path(group_filter):
        arguments["group_filter"] = _own_filter(group_filter, f"{where}.group_filter")
    return _choose(arguments, "rounds", SAMPLERS, Sampler, where)


def _choose(
    spec: Any, key: str, table: Mapping[str, type[Any]], base: type[Any], where: str
) -> Any:
    """The object of the class that ``spec[key]`` names, made of the other entries."""
    if not isinstance(spec, Mapping) or key not in spec:
        raise ConfigError(
            f"{where}: {shorten(spec)}; a mapping with the key {key!r} is needed, "
            f"one of: {', '.join(table)}"
        )

    name = check_type(spec[key], str, f"{where}.{key}")
    arguments = {k: v for k, v in spec.items() if k != key}
    if is_import_path(name):
        return _own_part(import_class(name, base, f"{where}.{key}"), arguments, where)

    if name not in table:
        raise ConfigError(unknown(where, key, name, table))
    return _construct(table[name], arguments, where)


def _own_part(cls: type[Any], arguments: Mapping[str, Any], where: str) -> Any:
    """An object of a user's class, which may go wrong in any way."""
    try:
        part = _construct(cls, arguments, where)
        constructor_arguments(part)  # a run writes them down
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{where}: {cls.__name__} cannot be made: {reason}") from error
    return part


def _own_filter(path: str, where: str) -> GroupFilter:
    """A user's filter, tried on a group that is half right."""
    group_filter = import_function(path, where, raises=ConfigError)
    group = Group("task", (1.0, 0.0), (1.0, 0.0))

    try:
        verdict = group_filter(group)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{where}: {path} failed on a group with the rewards 1 and 0: {reason}"
        ) from error

    if not isinstance(verdict, Verdict):
        raise ConfigError(
            f"{where}: {path} returned {shorten(verdict)}; a mtgrpo.Verdict is needed"
        )
    return group_filter


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

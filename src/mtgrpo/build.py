"""Descriptions -> objects: a mapping of plain values becomes a weighting or a sampler, and back.

The keys of a description are the constructor's own arguments, so a default lives in one place: the signature.
The tables are literal; nothing registers itself by being imported.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from mtgrpo.core.acceptance import AcceptanceEstimate, CountedAcceptance, EmaAcceptance
from mtgrpo.core.rounds import NeededRounds, OversampledRounds, RoundPlanner
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import (
    SEC,
    Balanced,
    Fixed,
    ImprovementAware,
    Regularized,
    Sequential,
    TaskWeighting,
    Uniform,
)
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import check_type

WEIGHTINGS: Mapping[str, type[TaskWeighting]] = {
    "balanced": Balanced,
    "fixed": Fixed,
    "improvement_aware": ImprovementAware,
    "regularized": Regularized,
    "sec": SEC,
    "sequential": Sequential,
    "uniform": Uniform,
}
PLANNERS: Mapping[str, type[RoundPlanner]] = {
    "needed": NeededRounds,
    "oversampled": OversampledRounds,
}
ACCEPTANCES: Mapping[str, type[AcceptanceEstimate]] = {
    "counted": CountedAcceptance,
    "ema": EmaAcceptance,
}


def build_weighting(spec: Mapping[str, Any], where: str = "weighting") -> TaskWeighting:
    """A weighting from ``{"rule": name, <argument>: value, ...}``.

    Raises:
        ConfigError: Unknown rule or argument, or a value of the wrong type or range; `where` is named.
    """
    return _choose(spec, "rule", WEIGHTINGS, where)


def build_sampler(spec: Mapping[str, Any], where: str = "sampler") -> RatioPreservingSampler:
    """A sampler from its arguments; ``rounds`` and ``acceptance`` are mappings with a ``kind``.

    Raises:
        ConfigError: As `build_weighting`.
    """
    arguments = dict(spec)
    if "rounds" in arguments:
        arguments["rounds"] = _choose(arguments["rounds"], "kind", PLANNERS, f"{where}.rounds")
    if "acceptance" in arguments:
        arguments["acceptance"] = _choose(
            arguments["acceptance"], "kind", ACCEPTANCES, f"{where}.acceptance"
        )
    return _construct(RatioPreservingSampler, arguments, where)


def complete_weighting(spec: Mapping[str, Any], where: str = "weighting") -> dict[str, Any]:
    """The same description with every default written out."""
    return {"rule": spec["rule"], **_defaults(_look_up(spec, "rule", WEIGHTINGS, where)), **spec}


def complete_sampler(spec: Mapping[str, Any], where: str = "sampler") -> dict[str, Any]:
    """The same description with every default written out, nested ones too."""
    full = {**_defaults(RatioPreservingSampler), **spec}
    for key, table, kind in (
        ("rounds", PLANNERS, "needed"),
        ("acceptance", ACCEPTANCES, "counted"),
    ):
        inner = full[key] or {"kind": kind}
        full[key] = {
            "kind": inner["kind"],
            **_defaults(_look_up(inner, "kind", table, f"{where}.{key}")),
            **inner,
        }
    return full


def _choose(spec: Any, key: str, table: Mapping[str, Any], where: str) -> Any:
    cls = _look_up(spec, key, table, where)
    return _construct(cls, {k: v for k, v in spec.items() if k != key}, where)


def _look_up(spec: Any, key: str, table: Mapping[str, Any], where: str) -> Any:
    if not isinstance(spec, Mapping) or key not in spec:
        raise ConfigError(
            f"{where}: {spec!r}; a mapping with the key {key!r} is needed, one of: {', '.join(table)}"
        )
    if spec[key] not in table:
        raise ConfigError(unknown(where, key, spec[key], table))
    return table[spec[key]]


def _construct(cls: type[Any], arguments: Mapping[str, Any], where: str) -> Any:
    parameters = _parameters(cls)
    for name in arguments:
        if name not in parameters:
            raise ConfigError(unknown(where, "key", name, parameters or ["(none)"]))
    hints = typing.get_type_hints(cls.__init__)
    checked = {
        name: check_type(v, hints.get(name, Any), f"{where}.{name}")
        for name, v in arguments.items()
    }
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in checked]
    if missing:
        raise ConfigError(f"{where}: {missing[0]!r} is missing; {cls.__name__} needs it")
    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    if cls.__init__ is object.__init__:
        return {}
    return {n: p for n, p in inspect.signature(cls.__init__).parameters.items() if n != "self"}


def _defaults(cls: type[Any]) -> dict[str, Any]:
    return {n: p.default for n, p in _parameters(cls).items() if p.default is not p.empty}

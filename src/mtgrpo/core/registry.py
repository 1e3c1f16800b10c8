"""What configuration files call the parts of a method, and how a part is written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtgrpo.core.acceptance import AcceptanceEstimate, CountedAcceptance, EmaAcceptance
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.described import constructor_arguments
from mtgrpo.core.filters import FILTERS, GroupFilter
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import NeededRounds, OversampledRounds, RoundPlanner
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import (
    DRATS,
    DUMP,
    SEC,
    SFL,
    Balanced,
    Fixed,
    ImprovementAware,
    Regularized,
    Sequential,
    TaskWeighting,
    Thompson,
    Uniform,
)

WEIGHTINGS: Mapping[str, type[TaskWeighting]] = {
    "balanced": Balanced,
    "drats": DRATS,
    "dump": DUMP,
    "fixed": Fixed,
    "improvement_aware": ImprovementAware,
    "regularized": Regularized,
    "sec": SEC,
    "sequential": Sequential,
    "sfl": SFL,
    "thompson": Thompson,
    "uniform": Uniform,
}
# By the rounds of a step.
SAMPLERS: Mapping[str, type[Sampler]] = {
    "refill": RatioPreservingSampler,
    "one": OneRoundSampler,
}
PLANNERS: Mapping[str, type[RoundPlanner]] = {
    "needed": NeededRounds,
    "oversampled": OversampledRounds,
}
ACCEPTANCES: Mapping[str, type[AcceptanceEstimate]] = {
    "counted": CountedAcceptance,
    "ema": EmaAcceptance,
}


def describe_weighting(weighting: TaskWeighting) -> dict[str, Any]:
    """``{"rule": name, <argument>: value, ...}`` with every argument, in plain values.

    Raises:
        ConfigError: A rule of the user's own that does not keep its arguments.
    """
    return {"rule": _name_of(weighting, WEIGHTINGS), **constructor_arguments(weighting)}


def describe_sampler(sampler: Sampler) -> dict[str, Any]:
    """``{"rounds": name, <argument>: value, ...}`` with every argument, in plain values.

    ``planner`` and ``acceptance`` have a `kind`.

    Raises:
        ConfigError: A planner or estimate of the user's own that does not keep its arguments.
    """
    described = {"rounds": _name_of(sampler, SAMPLERS), **constructor_arguments(sampler)}

    for key, table in (("planner", PLANNERS), ("acceptance", ACCEPTANCES)):
        if key not in described:
            continue
        part = described[key]
        described[key] = {"kind": _name_of(part, table), **constructor_arguments(part)}

    described["group_filter"] = _filter_name(described["group_filter"])
    return described


def _name_of(part: object, table: Mapping[str, type[Any]]) -> str:
    """The part's name in the table; the import path of its class for one of the user's own."""
    for name, kind in table.items():
        if type(part) is kind:
            return name
    return _path_of(type(part))


def _filter_name(group_filter: str | GroupFilter) -> str:
    if isinstance(group_filter, str):
        return group_filter

    for name, function in FILTERS.items():
        if function is group_filter:
            return name
    return _path_of(group_filter if hasattr(group_filter, "__qualname__") else type(group_filter))


def _path_of(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"

"""Whether a reward function can be called as rewards are: known before a model is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any

from mtgrpo.errors import did_you_mean
from mtgrpo.tasks.faults import named
from mtgrpo.tasks.several_rewards import SeveralRewards

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def defect_of_call(
    function: Any, passed: Sequence[str], possible: Collection[str] | None = None
) -> str:
    """Why no call of a reward function can succeed; empty where one may.

    Args:
        function: The user's, or several of them as one; what shows no signature of its own is let
            through.
        passed: The arguments that every call has, by name.
        possible: All arguments that a call may have; None where that is not known.
    """
    if isinstance(function, SeveralRewards):
        defects = [defect_of_call(one, passed, possible) for one in function.functions.values()]
        return next(filter(None, defects), "")

    if inspect.isclass(function) and any("__call__" in vars(kind) for kind in function.__mro__):
        name = function.__name__
        return (
            f"reward function {name} is a class; an instance is needed: give {name}(), or in a "
            f"file write judge = {name}() and name judge"
        )

    parameters = _parameters(function)
    if parameters is None:
        return ""

    takes = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    refused = [name for name in passed if name not in takes]
    if refused and not takes_all:
        way_out = "add **kwargs as its last parameter, for what it does not read"
        if "completions" in refused:
            way_out += "; one that scores a single completion is wrapped in mtgrpo.tasks.each"
        return (
            f"reward function {named(function)} takes {_listed(takes)}, but not "
            f"{_listed(refused)}; rewards are called by name with {_listed(passed)}; {way_out}"
        )

    for parameter in parameters:
        if parameter.default is not inspect.Parameter.empty or parameter.kind in _ANY:
            continue

        name = parameter.name
        if parameter.kind not in _NAMED:
            return (
                f"reward function {named(function)} takes {name} by position only; rewards are "
                f"called by name with {_listed(passed)}; take the / out of its parameters"
            )
        if possible is not None and name not in possible:
            others = sorted(set(possible) - set(passed))
            likely = set(possible) - {"prompts", "completions", "environments"}
            likely.update({f"{name}s"}.intersection(possible))  # prompt for prompts
            return (
                f"reward function {named(function)} needs {name}"
                f"{did_you_mean(name, likely)}, which it does not get; rewards are called by "
                f"name with what there is of {_listed([*passed, *others])}; rename the parameter, "
                "or give the rows such a column"
            )
    return ""


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    """The parameters of what is called itself: a wrapper may pass on less than it takes."""
    if getattr(function, "__signature__", None) is not None:  # put there, perhaps of another
        return None
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # of a builtin
        return None
    return list(signature.parameters.values())


def _listed(names: Sequence[str]) -> str:
    *first, last = names or ("nothing by name",)
    return f"{', '.join(first)} and {last}" if first else last

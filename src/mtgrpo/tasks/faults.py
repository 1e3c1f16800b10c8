"""Where in a user's code a fault lies, for messages."""

from __future__ import annotations

import functools
import inspect
import sysconfig
import traceback
from pathlib import Path
from typing import cast

from mtgrpo.tasks.scores import label

OURS = Path(__file__).resolve().parents[1]
_PATHS = sysconfig.get_paths()
INSTALLED = tuple(Path(_PATHS[key]).resolve() for key in ("stdlib", "purelib", "platlib"))
"""Folders of code that others wrote: a fault that shows there was made by whoever called it."""


def fault(error: BaseException, function: object) -> str:
    """What a function raised, and where, on one line.

    Args:
        error: As it was caught.
        function: What was called.
    """
    said = " ".join(str(error).split())
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__

    place = _place_of_error(error) or defined_at(function)
    return f"{what} ({place})" if place else what


def named(function: object) -> str:
    """A function's name and where it is defined, such as ``exact (rewards.py:12)``."""
    place = defined_at(function)
    return f"{label(function)} ({place})" if place else label(function)


def defined_at(function: object) -> str:
    """File and line of a user's function; empty where there is none."""
    code = getattr(_innermost(function), "__code__", None)
    if code is None or Path(code.co_filename).resolve().is_relative_to(OURS):
        return ""
    return f"{_shown(code.co_filename)}:{code.co_firstlineno}"


def _innermost(given: object) -> object:
    """The function that a user wrote, inside what was wrapped around it."""
    function: object = getattr(given, "scores_one", given)  # see `mtgrpo.tasks.scores.each`
    while isinstance(function, functools.partial):
        function = cast("functools.partial[object]", function).func

    if inspect.isfunction(function) or inspect.ismethod(function):
        return inspect.unwrap(function)
    # An object that can be called.
    return inspect.getattr_static(type(cast("object", function)), "__call__", None)


def _place_of_error(error: BaseException) -> str:
    """Where in the user's code an error came up: the deepest place that is not a library's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith("<frozen "):  # Python's own import
            continue
        path = Path(frame.filename).resolve()
        if not path.is_relative_to(OURS) and not any(map(path.is_relative_to, INSTALLED)):
            return f"{_shown(frame.filename)}:{frame.lineno}"
    return ""


def _shown(file: str) -> str:
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

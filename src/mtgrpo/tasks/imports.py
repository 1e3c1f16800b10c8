"""Finding a user's function by its import path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from mtgrpo.errors import TaskError, did_you_mean

USER_MODULE = "mtgrpo_user_"
"""Begins the names of modules that were loaded from a file; no other process can import them."""


def import_function(path: str, where: str) -> Callable[..., Any]:
    """The function that ``"module:function"`` or ``"file.py:function"`` names.

    Args:
        path: The module is looked for on `sys.path` and in the working directory; a file's path
            is relative to the working directory. ``function`` may have dots.
        where: Begins error messages.

    Raises:
        TaskError: the path has another form, the module, file or attribute is missing, or it
            cannot be called.
    """
    module_name, colon, attribute = path.rpartition(":")
    if not colon or not module_name or not attribute:
        raise TaskError(
            f"{where}: {path!r} is no import path; write 'module:function' or 'file.py:function', "
            "such as 'trl.rewards:accuracy_reward'"
        )

    is_file = module_name.endswith(".py")
    module = _load_file(module_name, where) if is_file else _load_module(module_name, where)

    function: object = module
    for part in attribute.split("."):
        if not hasattr(function, part):
            public = [name for name in vars(module) if not name.startswith("_")]
            hint = did_you_mean(part, public)
            raise TaskError(f"{where}: {module_name} has no {part!r}{hint}")
        function = getattr(function, part)

    if not callable(function):
        kind = type(function).__name__
        raise TaskError(f"{where}: {path} is a {kind}; a function is needed")
    return cast("Callable[..., Any]", function)


def _load_module(name: str, where: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_missing = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        if not is_missing:
            raise TaskError(f"{where}: importing {name} failed: {error}") from error

        file = name.rpartition(".")[2]
        raise TaskError(
            f"{where}: no module {error.name!r}; install it, start from the directory it lies in, "
            f"or give the file: 'path/to/{file}.py:function'"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise TaskError(f"{where}: importing {name} failed: {reason}") from error
    finally:
        sys.path.remove(here)


def _load_file(path: str, where: str) -> ModuleType:
    file = Path(path).resolve()
    if not file.is_file():
        raise TaskError(f"{where}: no file {path}; paths are relative to {Path.cwd()}")

    # Under a name of its own, and once: two tasks that name one file share its state.
    name = f"{USER_MODULE}{file.stem}_{abs(hash(str(file))):x}"
    if name in sys.modules:
        return sys.modules[name]

    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TaskError(f"{where}: {path} is no Python file")

    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = f"{type(error).__name__}: {error}"
        raise TaskError(f"{where}: importing {path} failed: {reason}") from error
    return module

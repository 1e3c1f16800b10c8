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
"""Begins the names of modules that were loaded from a file; no other process can import them by name."""


def import_function(path: str, where: str) -> Callable[..., Any]:
    """The function that ``"module:function"`` or ``"file.py:function"`` names.

    Args:
        path: The module is looked for on `sys.path` and in the working directory; a file's path is relative to
            the working directory. ``function`` may have dots.
        where: Begins error messages.

    Raises:
        TaskError: the path has another form, the module, file or attribute is missing, or it cannot be called.
    """
    module_name, colon, attribute = path.rpartition(":")
    if not colon or not module_name or not attribute:
        raise TaskError(
            f"{where}: {path!r} is no import path; write 'module:function' or 'file.py:function', such as "
            "'trl.rewards:accuracy_reward'"
        )
    module = (
        _load_file(module_name, where) if module_name.endswith(".py") else _load(module_name, where)
    )
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, [name for name in vars(module) if not name.startswith("_")])
            raise TaskError(f"{where}: {module_name} has no {part!r}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise TaskError(f"{where}: {path} is a {type(found).__name__}; a function is needed")
    return cast("Callable[..., Any]", found)


def _load(name: str, where: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TaskError(
                f"{where}: no module {error.name!r}; install it, start from the directory it lies in, or give the "
                f"file: 'path/to/{name.rpartition('.')[2]}.py:function'"
            ) from error
        raise TaskError(f"{where}: importing {name} failed: {error}") from error
    except Exception as error:
        raise TaskError(
            f"{where}: importing {name} failed: {type(error).__name__}: {error}"
        ) from error
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
        raise TaskError(
            f"{where}: importing {path} failed: {type(error).__name__}: {error}"
        ) from error
    return module

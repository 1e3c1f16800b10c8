"""Finding a user's function or class by its import path, and the path of one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from mtgrpo.errors import ConfigError, TaskError, did_you_mean

T = TypeVar("T")

USER_MODULE = "mtgrpo_user_"
"""Begins the names of modules that were loaded from a file; no other process can import them."""


def is_import_path(name: object) -> bool:
    """Whether a configuration's value means something of the user's own."""
    return isinstance(name, str) and ":" in name


def import_function(
    path: str, where: str, *, raises: type[ConfigError] = TaskError
) -> Callable[..., Any]:
    """The function that ``"module:function"`` or ``"file.py:function"`` names.

    Args:
        path: The module is looked for on `sys.path` and in the working directory; a file's path
            is relative to the working directory. ``function`` may have dots.
        where: Begins error messages.
        raises: Class of the errors.

    Raises:
        ConfigError: the path has another form, the module, file or attribute is missing, or it
            cannot be called.
    """
    function = _import_object(path, where, raises)
    if not callable(function):
        kind = type(function).__name__
        raise raises(f"{where}: {path} is a {kind}; a function is needed")
    return cast("Callable[..., Any]", function)


def import_class(path: str, base: type[T], where: str) -> type[T]:
    """The class that a path names, as for `import_function`.

    Raises:
        ConfigError: It is not there, or no subclass of `base`.
    """
    found = _import_object(path, where, ConfigError)
    if not isinstance(found, type) or not issubclass(found, base):
        shown = f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
        raise ConfigError(
            f"{where}: {path} is {shown}; a subclass of {base.__module__}.{base.__name__} is needed"
        )
    return cast("type[T]", found)


def import_path(thing: object) -> str | None:
    """The path that leads back to exactly this function or class, or None without one.

    It is ``"module:name"``, or ``"file.py:name"`` for a module that was loaded from a file.
    """
    module_name, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(name, str) or module_name == "__main__":
        return None

    module = sys.modules.get(module_name)
    member: object = module
    for part in name.split("."):
        member = getattr(member, part, None)
    if member is not thing:
        return None

    if module_name.startswith(USER_MODULE):
        return f"{getattr(module, '__file__', None)}:{name}"
    return f"{module_name}:{name}"


def lasting_path(path: str) -> str:
    """A path for another process: that of the file, instead of the name its module has here."""
    module_name, _, name = path.partition(":")
    if not module_name.startswith(USER_MODULE) or module_name not in sys.modules:
        return path

    file = Path(str(sys.modules[module_name].__file__))
    here = Path.cwd()
    shown = file.relative_to(here) if file.is_relative_to(here) else file
    return f"{shown.as_posix()}:{name}"


def with_lasting_paths(value: Any) -> Any:
    """Plain values, in which every import path is a lasting one."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {key: with_lasting_paths(inner) for key, inner in items}
    return lasting_path(value) if isinstance(value, str) else value


def _import_object(path: str, where: str, raises: type[ConfigError]) -> object:
    module_name, colon, attribute = path.rpartition(":")
    if not colon or not module_name or not attribute:
        raise raises(
            f"{where}: {path!r} is no import path; write 'module:function' or 'file.py:function', "
            "such as 'trl.rewards:accuracy_reward'"
        )

    load = _load_file if module_name.endswith(".py") else _load_module
    module = load(module_name, where, raises)

    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(module) if not name.startswith("_")]
            hint = did_you_mean(part, public)
            raise raises(f"{where}: {module_name} has no {part!r}{hint}")
        found = getattr(found, part)
    return found


def _load_module(name: str, where: str, raises: type[ConfigError]) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_missing = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        if not is_missing:
            raise raises(f"{where}: importing {name} failed: {error}") from error

        file = name.rpartition(".")[2]
        raise raises(
            f"{where}: no module {error.name!r}; install it, start from the directory it lies in, "
            f"or give the file: 'path/to/{file}.py:function'"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise raises(f"{where}: importing {name} failed: {reason}") from error
    finally:
        sys.path.remove(here)


def _load_file(path: str, where: str, raises: type[ConfigError]) -> ModuleType:
    file = Path(path).resolve()
    if not file.is_file():
        raise raises(f"{where}: no file {path}; paths are relative to {Path.cwd()}")

    # Under a name of its own, and once: two tasks that name one file share its state.
    name = f"{USER_MODULE}{file.stem}_{abs(hash(str(file))):x}"
    if name in sys.modules:
        return sys.modules[name]

    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise raises(f"{where}: {path} is no Python file")

    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = f"{type(error).__name__}: {error}"
        raise raises(f"{where}: importing {path} failed: {reason}") from error
    return module

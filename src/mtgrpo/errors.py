"""Every error mtgrpo raises on purpose.

```
MtgrpoError
├── ConfigError      an argument, a key of a configuration or a value is wrong (a ValueError too)
│   └── TaskError    a task's rows, columns, splits or reward cannot be used
├── RewardError      a reward raised or returned no reward; names task and prompt
├── StateError       a saved state does not fit, or a call comes at the wrong moment
├── ShortfallError   a batch could not be filled within its budget, and the policy is "fail"
├── RunError         a run directory cannot be used
└── MissingExtra     an optional dependency is not installed (an ImportError too)
```

Messages follow one form: ``where: what was found; what is allowed; how to fix``, on one line.
The command line prints the message alone and exits with code 2.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class MtgrpoError(Exception):
    """Base class: catch this to catch everything mtgrpo raises on purpose."""


class ConfigError(MtgrpoError, ValueError):
    """An argument, a configuration key or a value is wrong."""


class TaskError(ConfigError):
    """A task cannot be used: its rows, columns, splits, names or reward are wrong."""


class RewardError(MtgrpoError):
    """A reward function raised, or did not return one finite number per completion."""


class StateError(MtgrpoError):
    """A saved state does not fit the object it is loaded into, or a call comes at a wrong time."""


class ShortfallError(MtgrpoError):
    """A batch could not be filled within its budget, and the shortfall policy is ``"fail"``."""


class RunError(MtgrpoError):
    """A run directory cannot be used: in use, unreadable, no run, or of another configuration."""


class MissingExtra(MtgrpoError, ImportError):
    """An optional dependency is not installed."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """A hint such as `` (did you mean 'zebra'?)``, or an empty string when nothing is close."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    if not close:
        return ""

    return f" (did you mean {close[0]!r}?)"


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 key``, ``1,234 keys``.

    Args:
        number: How many.
        noun: In the singular.
        plural: Where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def unknown(where: str, kind: str, name: object, allowed: Iterable[str], most: int = 12) -> str:
    """The message for a name that is not among the allowed ones, with a suggestion and the list."""
    names = sorted(allowed)

    shown = ", ".join(names[:most])
    if len(names) > most:
        shown += f", ... ({len(names)} in all)"

    return f"{where}: unknown {kind} {name!r}{did_you_mean(str(name), names)}; allowed: {shown}"


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of mtgrpo provides it.

    Raises:
        MissingExtra: `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the module is there, but something inside it is broken: show that instead

        raise MissingExtra(
            f"{module}: not installed; needed here; install it with: pip install 'mtgrpo[{extra}]'"
        ) from error

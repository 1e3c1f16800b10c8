"""One command: its exit code, and every error as one line."""

from __future__ import annotations

import errno
import shlex
import sys
import warnings
from collections.abc import Sequence

from mtgrpo.cli.commands import COMMANDS, EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED
from mtgrpo.cli.parser import make_parser
from mtgrpo.errors import ConfigError, MtgrpoError, RewardError, ShortfallError, unknown
from mtgrpo.values import printable

# What a place on disk can be wrong with. Anything else may be a bug and keeps its traceback.
_PLACE_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
    }
)

# What other tools have as commands of their own.
_ELSEWHERE = {
    "resume": ("train", "--resume"),
    "list": ("tasks", "list"),
    "show": ("tasks", "show"),
    "check": ("tasks", "check"),
    "profile": ("tasks", "profile"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, 1 (a run failed, or trained on nothing), 2 (bad input), 130 (interrupted).
    """
    # Deprecations inside the engines are of no use to someone who types a command.
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(transformers|trl|torch|accelerate)\."
    )

    try:
        _check_command(sys.argv[1:] if argv is None else argv)
        arguments = make_parser().parse_args(argv)
        return COMMANDS[arguments.command](arguments)
    except (RewardError, ShortfallError) as error:
        return _refuse(str(error), EXIT_FAILED)
    except MtgrpoError as error:
        return _refuse(str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `mtgrpo ... | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # from inside an engine
        if error.errno not in _PLACE_ERRORS:
            raise

        where = f"{error.filename}: " if error.filename else ""
        advice = "check that the place is yours and has free space"
        return _refuse(f"{where}{error.strerror}; {advice}", EXIT_BAD_INPUT)


def _check_command(argv: Sequence[str]) -> None:
    """Refuse a command that there is not, with the one that may be meant.

    Raises:
        ConfigError: The first word is no command.
    """
    name = argv[0] if argv else ""
    if not name or name.startswith("-") or name in COMMANDS:
        return
    if name in _ELSEWHERE:
        meant = shlex.join(["mtgrpo", *_ELSEWHERE[name], *argv[1:]])
        raise ConfigError(f"mtgrpo: unknown command {name!r}; write: {meant}")
    raise ConfigError(unknown("mtgrpo", "command", name, COMMANDS))


def _refuse(message: str, code: int) -> int:
    # On one line, though a quoted error (of a user's reward, say) may have several.
    print("error:", printable(" ".join(message.split())), file=sys.stderr)
    return code

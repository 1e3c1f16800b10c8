"""One command: its exit code, and every error as one line."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Sequence

from mtgrpo.cli.commands import COMMANDS, EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED
from mtgrpo.cli.parser import make_parser
from mtgrpo.errors import MtgrpoError, RewardError, ShortfallError
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


def _refuse(message: str, code: int) -> int:
    # On one line, though a quoted error (of a user's reward, say) may have several.
    print("error:", printable(" ".join(message.split())), file=sys.stderr)
    return code

"""The command line of a benchmark that is run in parts: `run` adds to a file, `compare` reads it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(
    about: str | None,
    run_all: Callable[[Path], None],
    compare: Callable[[Path], Any],
    record: Path,
) -> None:
    """Carry out one of both.

    Args:
        about: What the benchmark says of itself.
        run_all: Adds the runs that are not in the file yet.
        compare: The comparison of the runs in the file.
        record: Where it is written as JSON.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["run", "compare"])
    parser.add_argument("runs", type=Path)
    arguments = parser.parse_args()

    if arguments.command == "run":
        run_all(arguments.runs)
        return

    text = json.dumps(compare(arguments.runs), indent=1)
    record.write_text(text + "\n", encoding="utf-8")
    print(text)

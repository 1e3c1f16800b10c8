"""The command line. Each command parses, calls one public function, prints."""

from mtgrpo.cli.entry import main

__all__ = ["main"]

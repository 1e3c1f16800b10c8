"""What a timing was made on, for its record."""

from __future__ import annotations

import importlib.metadata
import platform


def machine() -> dict[str, str]:
    """Kind of processor, and versions of Python and of the libraries that train."""
    libraries = ("torch", "trl", "transformers")
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in libraries},
    }

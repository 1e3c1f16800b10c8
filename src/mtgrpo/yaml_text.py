"""YAML as people write it: ``1e-5`` is a number, which PyYAML, of version 1.1 of the language, takes for text."""

from __future__ import annotations

import functools
import re
from typing import Any

from mtgrpo.errors import require

_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


@functools.cache
def _loader() -> Any:
    yaml = require("yaml", "cli")

    class Loader(yaml.SafeLoader):
        """The safe loader, with the floats of YAML 1.2."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return Loader


def parse_yaml(text: str) -> Any:
    """The value of a YAML document; never anything but plain values.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    loader = _loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()

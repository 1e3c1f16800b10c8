"""What the files of a model say, without loading it: whether it is here, and its sizes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo.config import ModelShape
from mtgrpo.errors import ConfigError

MAX_HEADER = 2**26
"""Bytes; the header of a larger file is none."""
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
ADAPTER = "adapter_config.json"
CHATS = (
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
    "tekken.json",
    "processor_config.json",
    "preprocessor_config.json",
)
"""Files beside a tokenizer that say how chats are written, or that something else may say it."""


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        path: Its directory; of a hub name, the snapshot in the cache.
        shape: Its sizes; None where the files do not say them.
        tensors: The shape of each tensor, by name, as far as there are safetensors.
        has_weights: Whether there are weights.
        has_tokenizer: Whether there is a tokenizer.
    """

    path: Path
    shape: ModelShape | None
    tensors: Mapping[str, tuple[int, ...]]
    has_weights: bool
    has_tokenizer: bool


def find_model(name: str) -> ModelFiles | None:
    """The files of a model; None for a hub name that is not in the cache.

    Args:
        name: A directory or a hub name.

    Raises:
        ConfigError: A path to nothing, or a directory without a model.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise ConfigError(f"model: {name!r}: no such directory; give one, or a hub name")

        cached = _in_cache(name)
        return None if cached is None else _read(cached)

    if not any((path / file).is_file() for file in ("config.json", ADAPTER)):
        raise ConfigError(
            f"model: {name!r} has no config.json; give a directory with the model and its "
            "tokenizer, or a hub name"
        )
    return _read(path)


def lacks_chat_template(path: Path) -> bool:
    """Whether a folder has a tokenizer that surely has no chat template.

    What only shows when the tokenizer is made counts as one: code of its own, processors of images.
    """
    try:
        config = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False

    if not isinstance(config, dict) or config.get("chat_template") or "auto_map" in config:
        return False
    return not any((path / file).exists() for file in CHATS)


def _in_cache(name: str) -> Path | None:
    """The newest snapshot of a hub name that has a configuration."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"

    found = [path.parent for path in snapshots.glob("*/config.json")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _read(path: Path) -> ModelFiles:
    weights = sorted(path.glob("*.safetensors"))
    tensors: dict[str, tuple[int, ...]] = {}
    for file in weights:
        tensors |= _tensors(file)

    return ModelFiles(
        path,
        _shape(path, tensors),
        tensors,
        has_weights=bool(weights or any(path.glob("*.bin"))),
        has_tokenizer=any((path / file).is_file() for file in TOKENIZERS),
    )


def _shape(path: Path, tensors: Mapping[str, tuple[int, ...]]) -> ModelShape | None:
    config = _config(path)
    num_parameters = sum(map(math.prod, tensors.values()))

    sizes: list[int] = []
    for key in ("hidden_size", "num_hidden_layers", "vocab_size"):
        size = config.get(key)
        if isinstance(size, int):
            sizes.append(size)

    if not num_parameters or len(sizes) < 3:
        return None
    return ModelShape(float(num_parameters), *sizes)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}

    if not isinstance(config, dict):
        return {}
    text = config.get("text_config")  # of a model that sees
    return text if isinstance(text, dict) else config


def _tensors(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a safetensors file; empty where it is none."""
    try:
        with open(file, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size)) if size <= MAX_HEADER else {}
            return {
                name: tuple(map(int, entry["shape"]))
                for name, entry in header.items()
                if name != "__metadata__"
            }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}

"""Where the embedded model lies."""

from __future__ import annotations

from pathlib import Path

from mtgrpo.errors import ConfigError

MODEL_DIR = Path(__file__).parent / "model"
"""The folder of config.json, model.safetensors, the tokenizer's files and profile.json."""


def model_path() -> Path:
    """The embedded model's folder, for ``from_pretrained``.

    Raises:
        ConfigError: this installation came without the model.
    """
    if not (MODEL_DIR / "model.safetensors").is_file():
        raise ConfigError(
            f"mtgrpo.tiny: no model.safetensors in {MODEL_DIR}; a complete installation of mtgrpo "
            "has one; reinstall it, or make the model with: python -m mtgrpo.tiny.recipe --out DIR"
        )
    return MODEL_DIR

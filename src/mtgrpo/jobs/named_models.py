"""Models that a configuration names by a word: where they lie, and that they are there."""

from __future__ import annotations

from mtgrpo import smollm2, tiny
from mtgrpo.config import ModelShape

MODEL_NAMES = ("tiny", *smollm2.NAMES)
"""The words."""


def model_place(name: str) -> str:
    """Directory or hub name of a model as a configuration names it. Nothing is made or loaded.

    Raises:
        MissingExtra: It cannot be made here.
    """
    if name == "tiny":
        return str(tiny.model_path())

    if name in smollm2.NAMES:
        smollm2.check_available(name)
        return str(smollm2.model_dir(name))
    return name


def make_model(name: str) -> None:
    """Make a model's files where they have to be made first, and check them.

    Raises:
        ConfigError: They are damaged.
        MissingExtra: As `model_place`.
    """
    if name in smollm2.NAMES:
        smollm2.made(name)


def is_to_be_made(name: str) -> bool:
    """Whether the first use will make the model's files."""
    return name in smollm2.NAMES and not smollm2.is_made(name)


def known_shape(name: str) -> ModelShape | None:
    """The sizes of a model that has no files yet; None where they are not known."""
    return ModelShape(**smollm2.SIZES) if name in smollm2.NAMES else None

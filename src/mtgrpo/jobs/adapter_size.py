"""What an adapter adds to a model, from the model's files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mtgrpo.errors import ConfigError, did_you_mean
from mtgrpo.jobs.model_files import ModelFiles

DEFAULT_RANK = 8
"""Peft's."""
NOT_LINEAR = ("embed", "wte", "wpe", "lm_head", "embeddings")
"""Parts of names of matrices that ``all-linear`` leaves out."""


@dataclass(frozen=True)
class AdapterSize:
    """The matrices that an adapter adapts.

    Attributes:
        num_matrices: How many.
        num_parameters: Trainable numbers.
        unused: Names of ``target_modules`` that the model does not have.
    """

    num_matrices: int
    num_parameters: int
    unused: tuple[str, ...] = ()


def adapter_size(peft: Mapping[str, Any], model: ModelFiles) -> AdapterSize | None:
    """The size of a LoRA adapter; None where the files do not say it.

    It is not known without ``target_modules``, which peft then chooses by the kind of model, nor
    for weights that are no safetensors.

    Args:
        peft: The configuration's ``peft``.
        model: The model's files.

    Raises:
        ConfigError: No module has any of the names; says which there are.
    """
    targets = peft.get("target_modules")
    matrices = {
        name.removesuffix(".weight"): shape
        for name, shape in model.tensors.items()
        if name.endswith(".weight") and len(shape) == 2
    }
    if targets is None or not matrices:
        return None

    adapted = {
        name: shape
        for name, shape in matrices.items()
        if _is_target(name, targets) and not _is_excluded(name, peft)
    }
    if not adapted:
        raise ConfigError(_nothing(targets, matrices))

    unused: list[str] = []
    if not isinstance(targets, str):
        unused = [part for part in targets if not any(_is_target(m, [part]) for m in matrices)]

    rank = peft.get("r", DEFAULT_RANK)
    num_parameters = sum(rank * (rows + columns) for rows, columns in adapted.values())
    return AdapterSize(len(adapted), num_parameters, tuple(unused))


def _is_target(name: str, targets: Any) -> bool:
    """Whether peft adapts a module: a list has ends of names, a text is a pattern of all of it."""
    if targets == "all-linear":
        return not any(part in name for part in NOT_LINEAR)
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == part or name.endswith(f".{part}") for part in targets)


def _is_excluded(name: str, peft: Mapping[str, Any]) -> bool:
    excluded = peft.get("exclude_modules")
    if excluded and _is_target(name, excluded):
        return True

    layers = peft.get("layers_to_transform")
    number = re.search(r"\.(\d+)\.", name)
    if layers is None or number is None:
        return False
    return int(number[1]) not in ([layers] if isinstance(layers, int) else layers)


def _nothing(targets: Any, matrices: Iterable[str]) -> str:
    ends = sorted({name.rpartition(".")[2] for name in matrices})
    listed = [targets] if isinstance(targets, str) else list(targets)
    shown = ", ".join(map(repr, listed)) or "without a name"
    hint = did_you_mean(str(listed[0]), ends) if listed else ""
    return (
        f"peft.target_modules: the model has no module {shown}{hint}; modules there are: "
        f"{', '.join(ends)}; or write all-linear"
    )

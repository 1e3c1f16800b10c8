"""A configuration's ``peft``: the adapter to train, checked before a model is loaded."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgrpo.errors import ConfigError, require, unknown
from mtgrpo.values import check_type, shorten

NOT_FOR_USERS = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type"),
        *("peft_version", "revision", "runtime_config", "task_type"),
    }
)
"""Fields that peft fills in itself, or that would leave nothing to train."""


def lora_config(arguments: Mapping[str, Any]) -> Any:
    """Peft's ``LoraConfig`` for a language model.

    Raises:
        ConfigError: An unknown argument, or a value that cannot work; names it.
        MissingExtra: peft is not installed.
    """
    cls = require("peft", "peft").LoraConfig
    allowed = {f.name for f in dataclasses.fields(cls) if f.init} - NOT_FOR_USERS
    hints = typing.get_type_hints(cls)

    checked: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in allowed:
            raise ConfigError(unknown("peft", "argument of LoraConfig", name, allowed, most=8))
        checked[name] = check_type(value, hints[name], f"peft.{name}")

    for name in ("r", "lora_alpha"):
        if checked.get(name, 1) < 1:
            raise ConfigError(f"peft.{name}: {checked[name]}; at least 1 is needed")
    if not 0 <= checked.get("lora_dropout", 0) < 1:
        raise ConfigError(f"peft.lora_dropout: {checked['lora_dropout']}; it must be in [0, 1)")

    try:
        return cls(task_type="CAUSAL_LM", **checked)
    # peft has no class of its own for what it refuses, or for packages that an argument needs.
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"peft: {shorten(dict(arguments))} is refused: {reason}") from error


def with_adapter(model: str, adapter: str, args: Any) -> Any:
    """A model with an adapter that was trained, loaded as TRL loads models.

    Args:
        model: Directory or hub name of the model without it.
        adapter: Its directory.
        args: TRL's ``GRPOConfig``.
    """
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": "float32"}
    if isinstance(args.model_init_kwargs, dict):
        options |= args.model_init_kwargs
    base = AutoModelForCausalLM.from_pretrained(model, **options)
    return require("peft", "peft").PeftModel.from_pretrained(base, adapter)


def is_adapter(model: str) -> bool:
    """Whether a directory holds an adapter, which brings its own model along."""
    return (Path(model) / "adapter_config.json").is_file()

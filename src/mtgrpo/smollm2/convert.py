"""GGUF -> safetensors, and an adapter into the weights; transformers is imported where needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "model.safetensors"


def convert(source: Path, file: str, out: Path) -> None:
    """Write a model of a GGUF file as transformers saves models, in 32 bits.

    Args:
        source: Folder of the file.
        file: Its name.
        out: Folder to write into.
    """
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer: Any = AutoTokenizer.from_pretrained(str(source), gguf_file=file)
    read: Any = AutoModelForCausalLM.from_pretrained(str(source), gguf_file=file, dtype="float32")

    # A model that was read from GGUF calls itself quantized, and is refused to be saved or trained.
    theirs = ("quantization_config", "architectures", "transformers_version", "_name_or_path")
    values = {key: value for key, value in read.config.to_dict().items() if key not in theirs}
    model = LlamaForCausalLM(LlamaConfig(**values))
    model.load_state_dict(read.state_dict())

    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))


def add_adapter(model: Path, adapter: Path, out: Path) -> None:
    """Write a model with a LoRA adapter added to its weights.

    Args:
        model: Folder of the model, in 32 bits.
        adapter: Folder of the adapter, as peft saves it.
        out: Folder to write into.
    """
    from safetensors.numpy import load_file, save_file

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    weights = load_file(model / WEIGHTS)

    for key, change in adapter_changes(adapter / "adapter_model.safetensors").items():
        weights[key] = weights[key] + np.float32(scale) * change

    for path in sorted(model.iterdir()):
        if path.name not in (WEIGHTS, "checksums.json"):
            shutil.copy(path, out / path.name)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})


def adapter_changes(file: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """B A of every adapted matrix, unscaled, by the name of its weight.

    Args:
        file: The adapter's tensors, in 16 or 32 bits.
    """
    from safetensors.numpy import load_file

    tensors = load_file(file)

    changes: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for name, inner in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        key = name.removeprefix("base_model.model.").replace(".lora_A", "")
        outer = tensors[name.replace(".lora_A", ".lora_B")]
        # (outputs, r) x (r, inputs)
        changes[key] = outer.astype(np.float32) @ inner.astype(np.float32)
    return changes

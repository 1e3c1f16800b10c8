"""Weights of a checkpoint: saved under other names than the model's, and of the reference model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from mtgrpo.errors import StateError, counted

# In a folder of its own: engines load whatever weights lie beside the model's.
REFERENCE_FILE = Path("reference", SAFE_WEIGHTS_NAME)


# ---- names that change -------------------------------------------------------------------------
def load_renamed(trainer: Any, checkpoint: Any) -> bool:
    """Load a checkpoint whose weights have other names or shapes than the model's, bit for bit.

    transformers saves some models (experts of a mixture, vision models) in the form of their
    publishers. Its `from_pretrained` undoes that; its trainer, on resuming, leaves the weights
    as they are and warns.

    Args:
        trainer: TRL's `GRPOTrainer`.
        checkpoint: Directory of the checkpoint.

    Returns:
        Whether anything was loaded. If not, the names are the model's own, or the checkpoint is an
        adapter's or a sharded engine's: loading it is the trainer's affair.

    Raises:
        StateError: Weights are missing.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    saved = saved_names(Path(checkpoint))

    if saved is None or _is_sharded(trainer) or not isinstance(model, PreTrainedModel):
        return False
    if not missing_names(model, saved) and not _is_converted(model):
        return False

    kind: Any = type(model)
    loaded, info = kind.from_pretrained(
        checkpoint, dtype=_common_dtype(model.parameters()), output_loading_info=True
    )

    missing = sorted(info["missing_keys"])
    if missing:
        raise StateError(
            f"{checkpoint}: {counted(len(missing), 'tensor')} missing, such as {missing[0]}; "
            "resuming "
            "would go on with other weights; start a new run from a whole model with model="
        )

    model.load_state_dict(loaded.state_dict())
    return True


def saved_names(checkpoint: Path) -> set[str] | None:
    """Names of the weights in a checkpoint of a whole model; None where there is no such thing."""
    index, file = checkpoint / SAFE_WEIGHTS_INDEX_NAME, checkpoint / SAFE_WEIGHTS_NAME
    if index.is_file():
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    if file.is_file():
        with safe_open(file, framework="pt") as weights:
            return set(weights.keys())
    return None


def missing_names(model: PreTrainedModel, saved: set[str]) -> list[str]:
    """Names of the model's weights that are not among the saved ones, tied weights left out."""
    own = model.state_dict(keep_vars=True)
    there = {id(tensor) for name, tensor in own.items() if name in saved}
    ignored = set(model._keys_to_ignore_on_save or ())

    return [
        name
        for name, tensor in own.items()
        if name not in saved and name not in ignored and id(tensor) not in there
    ]


def _is_converted(model: PreTrainedModel) -> bool:
    """Whether weights may be saved in another form under the same names."""
    conversions = getattr(model, "_weight_conversions", None) or ()
    return any(type(conversion).__name__ == "WeightConverter" for conversion in conversions)


def _common_dtype(tensors: Iterable[torch.Tensor]) -> torch.dtype:
    """The one dtype of the tensors, or one that holds all their values."""
    kinds = {tensor.dtype for tensor in tensors}
    return kinds.pop() if len(kinds) == 1 else torch.float32


def _is_sharded(trainer: Any) -> bool:
    """Whether no process has the whole model."""
    return trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled


# ---- the reference model -----------------------------------------------------------------------
def save_reference(trainer: Any, checkpoint: Path) -> None:
    """Write the reference model, if the run moves it (TRL's ``sync_ref_model``)."""
    if not trainer.args.sync_ref_model or _is_sharded(trainer):
        return

    file = checkpoint / REFERENCE_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    save_model(trainer.accelerator.unwrap_model(trainer.ref_model), str(file))


def load_reference(trainer: Any, checkpoint: Path) -> None:
    """Read what `save_reference` wrote, if the run moves the reference model.

    Raises:
        StateError: There is nothing (a sharded one is not saved), or it is another model's.
    """
    if not trainer.args.sync_ref_model:
        return

    file = checkpoint / REFERENCE_FILE
    if not file.is_file():
        raise StateError(
            f"{file}: missing, but sync_ref_model moves the reference model, which would begin "
            "anew; resume with sync_ref_model=False, or start a new run with model="
        )

    try:
        load_model(trainer.accelerator.unwrap_model(trainer.ref_model), str(file))
    except Exception as error:  # safetensors has its own exception class, outside the standard ones
        reason = str(error).splitlines()[0]
        raise StateError(f"{file}: cannot be loaded ({reason}); use another checkpoint") from error

"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``."""

# ruff: noqa: E402 - the check comes first
from __future__ import annotations

from mtgrpo.errors import require

for module in ("torch", "transformers", "datasets", "accelerate", "safetensors", "trl"):
    require(module, "trl")

from mtgrpo.integrations.trl.checkpoints import check_resume
from mtgrpo.integrations.trl.trainer import MultiTaskGRPOTrainer

__all__ = ["MultiTaskGRPOTrainer", "check_resume"]

"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``.

The trainer is imported when it is asked for, and torch with it: a plan of a run needs neither.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mtgrpo.errors import require

if TYPE_CHECKING:
    from mtgrpo.integrations.trl.checkpoints import check_resume
    from mtgrpo.integrations.trl.trainer import MultiTaskGRPOTrainer

__all__ = ["MultiTaskGRPOTrainer", "check_resume"]

NEEDED = ("torch", "transformers", "datasets", "accelerate", "safetensors", "trl")


def check_installed() -> None:
    """Look for what training needs, without importing it.

    Raises:
        MissingExtra: Something is not installed.
    """
    for module in NEEDED:
        if find_spec(module) is None:
            require(module, "trl")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    check_installed()

    from mtgrpo.integrations.trl import checkpoints, trainer

    return getattr(trainer if name == "MultiTaskGRPOTrainer" else checkpoints, name)

"""Asynchronous multi-task GRPO with TRL: `MultiTaskAsyncGRPOTrainer`.

TRL's `trl.experimental.async_grpo` generates on a vLLM server while it trains. This is a rollout
worker for it, over the ledger of `mtgrpo.core`. The trainer is imported when it is asked for.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mtgrpo.errors import require
from mtgrpo.integrations.trl import check_installed

if TYPE_CHECKING:
    from mtgrpo.integrations.trl_async.trainer import MultiTaskAsyncGRPOTrainer

__all__ = ["MultiTaskAsyncGRPOTrainer"]

NEEDED = ("aiohttp", "requests")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    check_installed()
    for module in NEEDED:
        if find_spec(module) is None:
            require(module, "trl-async")

    from mtgrpo.integrations.trl_async.seam import check_seam

    check_seam()

    from mtgrpo.integrations.trl_async import trainer

    return trainer.MultiTaskAsyncGRPOTrainer

"""Where a run's metrics go besides its directory: trackers that transformers writes to.

A run of the command line evaluates before and after training, and transformers' trackers begin and
end with the training. Without help trackio would fail at the first evaluation, and tensorboard
would write into the current directory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    TrackioCallback,
)

from mtgrpo.errors import ConfigError, MissingExtra, unknown

# Modules of which one is needed, where a tracker is not called like its module.
_MODULES = {
    "azure_ml": ("azureml",),
    "flyte": ("flytekit",),
    "kubeflow": (),
    "tensorboard": ("tensorboard", "tensorboardX"),
}


def trackers(report_to: str | Sequence[str]) -> list[str]:
    """The trackers of a configuration's ``report_to``.

    Raises:
        ConfigError: An unknown name.
        MissingExtra: The package of one is not installed.
    """
    names = [report_to] if isinstance(report_to, str) else list(report_to)
    names = [name for name in names if name != "none"]

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            allowed = [*INTEGRATION_TO_CALLBACK, "none"]
            raise ConfigError(unknown("report_to", "tracker", name, allowed, most=20))

        modules = _MODULES.get(name, (name,))
        if modules and not any(importlib.util.find_spec(module) for module in modules):
            raise MissingExtra(
                f"report_to: {name} is not installed; install it with: pip install {modules[0]}; "
                "or leave it out: the run directory has all metrics"
            )
    return names


@contextmanager
def reporting(trainer: Any, output: str) -> Iterator[None]:
    """Within the block, the trainer's trackers are open; they write into the run directory.

    Args:
        trainer: Ours, complete.
        output: The run directory.
    """
    handler = trainer.callback_handler
    for callback in handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(Path(output) / "tensorboard")

    ends: list[Any] = []
    for callback in handler.callbacks:
        if isinstance(callback, TrackioCallback):
            callback.setup(trainer.args, trainer.state, trainer.model)
            ends.append(callback.on_train_end)
            callback.on_train_end = _not_yet

    try:
        yield
    finally:
        for end in ends:
            end(trainer.args, trainer.state, trainer.control, model=trainer.model)


def _not_yet(*args: Any, **kwargs: Any) -> None:
    """The evaluation after training still has to be written."""

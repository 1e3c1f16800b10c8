"""A configuration's ``report_to``: names of trackers, checked without importing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from mtgrpo.errors import ConfigError, MissingExtra, unknown

NAMES = (
    *("azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow"),
    *("mlflow", "neptune", "swanlab", "tensorboard", "trackio", "wandb"),
)
"""Trackers that transformers knows; whether its version has them too, it says itself."""

# Modules of which one is needed, where a tracker is not called like its module.
_MODULES: Mapping[str, tuple[str, ...]] = {
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
        if name not in NAMES:
            raise ConfigError(unknown("report_to", "tracker", name, [*NAMES, "none"], most=20))

        modules = _MODULES.get(name, (name,))
        if modules and not any(find_spec(module) for module in modules):
            raise MissingExtra(
                f"report_to: {name} is not installed; install it with: pip install {modules[0]}; "
                "or leave it out: the run directory has all metrics"
            )
    return names

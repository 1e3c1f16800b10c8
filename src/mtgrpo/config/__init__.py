"""The run configuration: schema, loading, resolving."""

from mtgrpo.config.loading import (
    CONFIGS_DIR,
    load_config,
    origin_with,
    parse_config,
    shipped_configs,
)
from mtgrpo.config.schema import (
    CheckpointConfig,
    EvaluationConfig,
    ModelShape,
    ResolvedRun,
    RunConfig,
    RunSettings,
)

__all__ = [
    "CONFIGS_DIR",
    "CheckpointConfig",
    "EvaluationConfig",
    "ModelShape",
    "ResolvedRun",
    "RunConfig",
    "RunSettings",
    "load_config",
    "origin_with",
    "parse_config",
    "shipped_configs",
]

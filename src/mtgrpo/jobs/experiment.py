"""What a study compares, and on what: an experiment and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgrpo import presets
from mtgrpo.config import CONFIGS_DIR, ResolvedRun, parse_config
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import parse_dataclass
from mtgrpo.yaml_text import read_yaml

EXPERIMENTS_DIR = CONFIGS_DIR / "experiments"


@dataclass(frozen=True)
class Experiment:
    """What is compared, and on what.

    Attributes:
        name: Name of the file.
        base: Keys of a run configuration that all runs share.
        methods: Name -> keys of a run configuration that make the method.
        seeds: Every method is run with each of them.
        baseline: The method relative changes refer to.
        thresholds: Worst-task accuracies whose cost is reported.
    """

    name: str
    base: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    baseline: str
    thresholds: tuple[float, ...]

    def run(self, method: str, seed: int, output: Path) -> ResolvedRun:
        """One run, resolved."""
        changes = self.methods[method]
        values = {
            **self.base,
            **changes,
            "seed": seed,
            "output": str(run_path(output, method, seed)),
        }
        for key in ("trl", "weighting", "sampler"):
            shared, own = self.base.get(key), changes.get(key)
            if isinstance(shared, Mapping) and isinstance(own, Mapping):
                values[key] = {**shared, **own}
        return parse_config(values, f"{self.name}: methods.{method}")


@dataclass(frozen=True)
class _File:
    """The keys of an experiment's file."""

    base: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any] | None]
    seeds: Sequence[int] = (0,)
    baseline: str | None = None
    thresholds: Sequence[float] = ()


def run_path(output: Path, method: str, seed: int) -> Path:
    """Where one run of a study goes."""
    return output / method / f"seed-{seed}"


def shipped_experiments() -> dict[str, Path]:
    """Experiments inside the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS_DIR.glob("*.yaml"))}


def load_experiment(
    source: str,
    *,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Experiment:
    """Read an experiment and check every run configuration in it.

    Args:
        source: Path of a YAML file, or the name of a shipped experiment.
        methods: Only these; all by default.
        seeds: Seeds in place of the experiment's own.
        overrides: Keys of the run configuration that replace those of ``base``.

    Raises:
        ConfigError: Unreadable, unknown keys or methods, or a run configuration that cannot work.
    """
    path = _find(source)
    where = path.stem
    content = parse_dataclass(_File, read_yaml(path), where)
    for key in ("methods", "seeds"):
        if not getattr(content, key):
            raise ConfigError(f"{where}: {key} is empty; at least one is needed")

    baseline = content.baseline or next(iter(content.methods))
    for name in (*methods, baseline):
        if name not in content.methods:
            message = unknown(where, "method", name, content.methods, most=len(content.methods))
            raise ConfigError(f"{message}{_way_to_preset(name)}")

    experiment = Experiment(
        name=where,
        base={**content.base, **(overrides or {})},
        methods={
            name: changes or {}
            for name, changes in content.methods.items()
            if not methods or name in methods
        },
        seeds=tuple(seeds or content.seeds),
        baseline=baseline,
        thresholds=tuple(content.thresholds),
    )

    for name in experiment.methods:
        for seed in experiment.seeds:
            experiment.run(name, seed, Path("runs"))

    return experiment


def _way_to_preset(name: str) -> str:
    """How a preset that is no method of an experiment becomes one."""
    if name not in presets.NAMES:
        return ""
    return (
        f"; {name} is a preset, and methods are those of the file: give a file of your own with "
        f"methods: {{{name}: {{preset: {name}}}}} (docs/watching.md); in the repository, "
        "research/equal_cost/three_tasks_fair.yaml compares grpo_fair with grpo at equal cost"
    )


def _find(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)

    shipped = shipped_experiments()
    if source not in shipped:
        raise ConfigError(
            unknown(source, "experiment: no such file, nor a shipped one named", source, shipped)
        )
    return shipped[source]

"""The run configuration: its schema, its loader, and the plan it stands for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtgrpo import presets
from mtgrpo.build import (
    build_sampler,
    build_weighting,
    complete_sampler,
    complete_weighting,
)
from mtgrpo.errors import ConfigError, require, unknown
from mtgrpo.values import parse_dataclass
from mtgrpo.yaml_text import parse_yaml

CONFIGS_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class EvaluationConfig:
    """When and how test accuracy is measured.

    Attributes:
        every: Steps between evaluations; 0 evaluates before and after training only.
        samples_per_prompt: Completions sampled per test prompt, at the training temperature.
        prompts_per_task: Test prompts used per task, the first of each; null uses all.
        seed: Of the evaluation's own random stream: evaluating never changes training.
    """

    every: int = 0
    samples_per_prompt: int = 4
    prompts_per_task: int | None = None
    seed: int = 1234


@dataclass(frozen=True)
class CheckpointConfig:
    """When training state is saved.

    Attributes:
        every: Steps between checkpoints; 0 saves the last step only.
        keep: Checkpoints kept, the newest.
    """

    every: int = 50
    keep: int = 2


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model that memory depends on.

    Attributes:
        num_parameters: All of them.
        hidden_size: Width.
        num_layers: Depth.
        vocab_size: Logits per token.
    """

    num_parameters: float
    hidden_size: int
    num_layers: int
    vocab_size: int


@dataclass(frozen=True)
class RunConfig:
    """One training run. Every key of a configuration file is a field here.

    Attributes:
        tasks: One mapping per task; docs/writing-a-task.md lists the kinds.
        output: Run directory.
        model: ``tiny`` (the embedded model), a directory, or a hub name.
        preset: Method, a name in `mtgrpo.presets.NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting the preset's hyper-parameters come from.
        weighting: Changes to the preset's weighting.
        sampler: Changes to the preset's sampler.
        task_reward: What J_k is, ``accuracy`` or ``reward``; null takes the preset's. So do the next four.
        observe: J_k is observed once a ``step`` or once a ``round``.
        surrogate: Form of the measured improvement, ``mean`` or ``sum``.
        loss_shares: Whether advantages are scaled so that each task's share of the loss is its share of the quotas,
            whatever its lengths and shortfall.
        prompt_memory: Whether prompts whose last groups were all right or all wrong are asked again rarely.
        steps: Training steps: batches of `batch_size` groups.
        batch_size: Groups (prompts) per step, B.
        group_size: Completions per prompt, G.
        updates_per_step: Policy updates per step; each trains on ``batch_size / updates_per_step`` groups.
        micro_batch_size: Completions per device and forward pass; null takes a whole update at once.
        learning_rate: Of the policy.
        max_completion_length: Tokens.
        seed: Of everything but evaluation.
        threads: CPU threads of torch per process.
        share_prompts: Compute each prompt once for all its completions: faster for small models, other draws for a
            seed; null does so on a CPU.
        model_shape: For the memory estimate of ``--dry-run`` while the model is not on this machine.
        evaluation: See `EvaluationConfig`.
        checkpoint: See `CheckpointConfig`.
        trl: Further fields of TRL's ``GRPOConfig``, passed on as they are.
    """

    tasks: Sequence[Mapping[str, Any]]
    output: str = "runs/run"
    model: str = "tiny"
    preset: str = "mt_grpo"
    variant: str = "default"
    setting: str = "three_tasks"
    weighting: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sampler: Mapping[str, Any] = field(default_factory=dict[str, Any])
    task_reward: str | None = None
    observe: str | None = None
    surrogate: str | None = None
    loss_shares: bool | None = None
    prompt_memory: bool | None = None
    steps: int = 100
    batch_size: int = 16
    group_size: int = 8
    updates_per_step: int = 1
    micro_batch_size: int | None = None
    learning_rate: float = 1e-6
    max_completion_length: int = 1024
    seed: int = 0
    threads: int = 1
    share_prompts: bool | None = None
    model_shape: ModelShape | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    trl: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def resolved(self) -> RunConfig:
        """The same run with the preset's weighting and sampler written out, checked throughout.

        Raises:
            ConfigError: Any value that cannot work, before anything heavy is loaded.
        """
        preset = presets.get(self.preset, variant=self.variant, setting=self.setting)
        weighting, sampler = (
            preset.changed_weighting(self.weighting),
            _merge(preset.sampler, self.sampler),
        )
        build_weighting(weighting)
        build_sampler(sampler)
        self._check_batch()
        filled = dataclasses.replace(
            self,
            weighting=complete_weighting(weighting),
            sampler=complete_sampler(sampler),
            task_reward=self.task_reward or preset.task_reward,
            observe=self.observe or preset.observe,
            surrogate=self.surrogate or preset.surrogate,
            loss_shares=preset.loss_shares if self.loss_shares is None else self.loss_shares,
            prompt_memory=preset.prompt_memory
            if self.prompt_memory is None
            else self.prompt_memory,
            trl={"epsilon": preset.epsilon, "epsilon_high": preset.epsilon_high, **self.trl},
        )
        for key, allowed in (
            ("task_reward", ("accuracy", "reward")),
            ("observe", ("step", "round")),
            ("surrogate", ("mean", "sum")),
        ):
            if getattr(filled, key) not in allowed:
                raise ConfigError(unknown(key, "value", getattr(filled, key), allowed))
        return filled

    def _check_batch(self) -> None:
        positive = ("steps", "batch_size", "updates_per_step", "threads", "max_completion_length")
        for key in positive:
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: {getattr(self, key)}; at least 1 is needed")
        if self.group_size < 2:
            raise ConfigError(
                f"group_size: {self.group_size}; GRPO compares completions of one prompt, at least 2 are needed"
            )
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate: {self.learning_rate}; it must be above 0 and finite")
        for key, seed in (("seed", self.seed), ("evaluation.seed", self.evaluation.seed)):
            if not 0 <= seed < 2**32:
                raise ConfigError(f"{key}: {seed}; it must be in [0, 2**32)")
        if self.batch_size % self.updates_per_step:
            raise ConfigError(
                f"batch_size: {self.batch_size} groups do not divide into updates_per_step: {self.updates_per_step}; "
                f"try batch_size: {_next_multiple(self.batch_size, self.updates_per_step)}"
            )
        if self.evaluation.every < 0 or self.checkpoint.every < 0 or self.checkpoint.keep < 1:
            raise ConfigError(
                "evaluation.every and checkpoint.every must be at least 0, checkpoint.keep at least 1"
            )
        if self.evaluation.samples_per_prompt < 1 or (self.evaluation.prompts_per_task or 1) < 1:
            raise ConfigError(
                "evaluation: samples_per_prompt and prompts_per_task must be at least 1"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to ``config.yaml``."""
        return dataclasses.asdict(self)


def load_config(source: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration and resolve it.

    Args:
        source: Path of a YAML file, or the name of a shipped configuration (`shipped_configs`).
        overrides: ``a.b=c`` assignments, their values read as YAML; they win over the file.

    Raises:
        ConfigError: Unreadable, unknown keys, wrong types or values; the message names file and key.
    """
    yaml = require("yaml", "cli")
    path = _find(source)
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a readable YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: a mapping of keys to values is needed at the top level")
    values: dict[str, Any] = dict(data)
    for override in overrides:
        _assign(values, override, yaml)
    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], where: str) -> RunConfig:
    """A resolved configuration from plain values.

    Raises:
        ConfigError: As `load_config`; `where` is named.
    """
    try:
        return parse_dataclass(RunConfig, values, where).resolved()
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """``["a.b=1", "c=x"]`` as nested plain values, the right-hand sides read as YAML.

    Raises:
        ConfigError: Not of the form ``key=value``.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        _assign(values, assignment, require("yaml", "cli"))
    return values


def shipped_configs() -> dict[str, Path]:
    """Configurations inside the package, by name."""
    return {path.stem: path for path in sorted(CONFIGS_DIR.glob("*.yaml"))}


def _find(source: str) -> Path:
    shipped = shipped_configs()
    if source in shipped and not Path(source).is_file():
        return shipped[source]
    path = Path(source)
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"  # a run directory: its own resolved configuration
    if not path.exists():
        raise ConfigError(
            unknown(source, "configuration: no such file, nor a shipped one named", source, shipped)
        )
    return path


def _assign(values: dict[str, Any], override: str, yaml: Any) -> None:
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: not of the form a.b=value")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {text!r} is not a valid YAML value") from None
    here: Any = values
    for i, key in enumerate(keys):
        last = i == len(keys) - 1
        if isinstance(here, list) and key.isdigit() and int(key) < len(here):
            index = int(key)
            if last:
                here[index] = value
            here = here[index]
        elif isinstance(here, dict):
            if last:
                here[key] = value
            here = here.setdefault(key, {})
        else:
            raise ConfigError(
                f"--set {override}: {'.'.join(keys[:i])} is not a mapping that has {key!r}"
            )


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `base`; a nested mapping that does not choose another ``kind`` changes the one in `base`."""
    merged = {**base, **changes}
    for key, value in changes.items():
        old = base.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            merged[key] = {**old, **value}
    return merged


def _next_multiple(value: int, factor: int) -> int:
    return -(-value // factor) * factor

"""The run configuration: what a user writes, what it resolves to, and its loader."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import check_type, parse_dataclass
from mtgrpo.yaml_text import assign, read_yaml

CONFIGS_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class EvaluationConfig:
    """When and how test accuracy is measured.

    Attributes:
        every: Steps between evaluations; 0 evaluates before and after training only.
        samples_per_prompt: Completions sampled per test prompt, at the training temperature.
        prompts_per_task: Test prompts used per task, the first of each; null uses all.
        seed: Seed of the evaluation's own random stream: evaluating never changes training.
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


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """All of a training run but its method. Every field is a key of a configuration file.

    Attributes:
        tasks: One mapping per task; docs/writing-a-task.md lists the kinds.
        output: Run directory.
        model: ``tiny`` (the embedded model), a directory, or a hub name.
        preset: Name of the method in `mtgrpo.presets.NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: Published setting the preset's hyper-parameters come from.
        steps: Training steps: batches of `batch_size` groups.
        batch_size: Groups (prompts) per step, B.
        group_size: Completions per prompt, G.
        updates_per_step: Policy updates per step; each trains on
            ``batch_size / updates_per_step`` groups.
        micro_batch_size: Completions per device and forward pass; null takes a whole update at
            once.
        learning_rate: Learning rate of the policy.
        max_completion_length: Tokens.
        seed: Seed of everything but evaluation.
        threads: CPU threads of torch per process.
        share_prompts: Compute each prompt once for all its completions: faster for small models,
            other draws for a seed; null does so on a CPU.
        model_shape: For the memory estimate of ``--dry-run`` while the model is not on this
            machine.
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


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunSettings):
    """One training run as a user writes it: a preset, and what differs from it.

    Attributes:
        weighting: Changes to the preset's weighting.
        sampler: Changes to the preset's sampler.
        task_reward: What J_k is, ``accuracy`` or ``reward``; null takes the preset's. So do the
            next four.
        observe: Over which groups J_k is observed: the ``first_round`` of a step, the whole
            ``step`` or each ``round``.
        surrogate: Form of the measured improvement, ``mean`` or ``sum``.
        loss_shares: Whether advantages are scaled so that each task's share of the loss is its
            share of the quotas, whatever its lengths and shortfall.
        prompt_memory: Whether prompts whose last groups were all right or all wrong are asked
            again rarely.
    """

    weighting: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sampler: Mapping[str, Any] = field(default_factory=dict[str, Any])
    task_reward: str | None = None
    observe: str | None = None
    surrogate: str | None = None
    loss_shares: bool | None = None
    prompt_memory: bool | None = None

    def resolved(self) -> ResolvedRun:
        """The run this configuration stands for, checked throughout.

        Raises:
            ConfigError: Any value that cannot work, before anything heavy is loaded.
        """
        method = presets.get(
            self.preset,
            variant=self.variant,
            setting=self.setting,
            weighting=self.weighting,
            sampler=self.sampler,
        )

        stated = {
            key: getattr(self, key)
            for key in ("task_reward", "observe", "surrogate", "loss_shares", "prompt_memory")
            if getattr(self, key) is not None
        }

        trl = _with_clip(self.trl, method)
        method = dataclasses.replace(method, clip=_clip_of(trl), **stated)

        settings = {f.name: getattr(self, f.name) for f in fields(RunSettings)}

        return ResolvedRun(**{**settings, "trl": trl}, method=method)


@dataclass(frozen=True, kw_only=True)
class ResolvedRun(RunSettings):
    """What a configuration resolves to: nothing is left to the preset.

    Attributes:
        method: The method, complete.

    Raises:
        ConfigError: A number that cannot work.
    """

    method: Method

    def __post_init__(self) -> None:
        _check_places(self)
        _check_sizes(self)
        _check_seeds(self)
        _check_evaluation(self)

    def as_dict(self) -> dict[str, Any]:
        """The configuration with everything written out, in plain values.

        It is written to ``config.yaml`` and resolves to the same run when it is read again.
        """
        method = self.method.as_dict()

        written: dict[str, Any] = {}
        for key in (f.name for f in fields(RunConfig)):
            value = method[key] if key in method else getattr(self, key)
            is_section = isinstance(value, EvaluationConfig | CheckpointConfig | ModelShape)
            written[key] = dataclasses.asdict(value) if is_section else value
        return written


def load_config(
    source: str, overrides: Sequence[str] = (), *, output: str | None = None
) -> ResolvedRun:
    """Read a configuration and resolve it.

    Args:
        source: Path of a YAML file, a run directory, or the name of a shipped configuration
            (`shipped_configs`). A run directory stands for the run in it, also when it was copied
            or moved and its configuration names another place.
        overrides: ``a.b=c`` assignments, their values read as YAML; they win over the file.
        output: Run directory; it wins over both.

    Raises:
        ConfigError: Unreadable, unknown keys, wrong types or values; the message names file and
            key.
    """
    path = _find(source)
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: a mapping of keys to values is needed at the top level")

    values: dict[str, Any] = dict(data)
    if "script" in values:
        raise ConfigError(
            f"{path}: a run that the script {values['script']} made; only that script can go on "
            "with it, with trainer.train(resume_from_checkpoint=True)"
        )

    if path.name == "config.yaml" and (path.parent / "run.json").is_file():
        values["output"] = str(path.parent)

    for override in overrides:
        assign(values, override)

    if output is not None:
        values["output"] = output

    return parse_config(values, str(path))


def parse_config(values: Mapping[str, Any], where: str) -> ResolvedRun:
    """A resolved run from plain values.

    Raises:
        ConfigError: As `load_config`; `where` is named.
    """
    try:
        return parse_dataclass(RunConfig, values, where).resolved()
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None


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


def _with_clip(trl: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """TRL's fields, with the method's clip where they do not state another."""
    if method.clip is None:
        return dict(trl)
    epsilon, epsilon_high = method.clip
    return {"epsilon": epsilon, "epsilon_high": epsilon_high, **trl}


def _clip_of(trl: Mapping[str, Any]) -> tuple[float, float]:
    epsilon = check_type(trl["epsilon"], float, "trl.epsilon")
    epsilon_high = check_type(trl["epsilon_high"], float | None, "trl.epsilon_high")
    return epsilon, epsilon if epsilon_high is None else float(epsilon_high)


def _check_places(run: RunSettings) -> None:
    for key in ("output", "model"):
        if not getattr(run, key) or "\0" in getattr(run, key):
            raise ConfigError(f"{key}: {getattr(run, key)!r}; the name of a place is needed")


def _check_sizes(run: RunSettings) -> None:
    for key in ("steps", "batch_size", "updates_per_step", "threads", "max_completion_length"):
        if getattr(run, key) < 1:
            raise ConfigError(f"{key}: {getattr(run, key)}; at least 1 is needed")

    if run.group_size < 2:
        raise ConfigError(
            f"group_size: {run.group_size}; GRPO compares completions of one prompt, "
            "at least 2 are needed"
        )

    if not 0 < run.learning_rate < math.inf:
        raise ConfigError(f"learning_rate: {run.learning_rate}; it must be above 0 and finite")

    if run.batch_size % run.updates_per_step:
        nearest = math.ceil(run.batch_size / run.updates_per_step) * run.updates_per_step
        raise ConfigError(
            f"batch_size: {run.batch_size} does not divide into updates_per_step: "
            f"{run.updates_per_step}; try batch_size: {nearest}"
        )


def _check_seeds(run: RunSettings) -> None:
    for key, seed in (("seed", run.seed), ("evaluation.seed", run.evaluation.seed)):
        if not 0 <= seed < 2**32:
            raise ConfigError(f"{key}: {seed}; it must be in [0, 2**32)")


def _check_evaluation(run: RunSettings) -> None:
    if run.evaluation.every < 0 or run.checkpoint.every < 0 or run.checkpoint.keep < 1:
        raise ConfigError(
            "evaluation.every and checkpoint.every must be at least 0, checkpoint.keep at least 1"
        )

    num_prompts = run.evaluation.prompts_per_task
    if run.evaluation.samples_per_prompt < 1 or (num_prompts is not None and num_prompts < 1):
        raise ConfigError("evaluation: samples_per_prompt and prompts_per_task must be at least 1")

"""The run configuration: what a user writes, and what it resolves to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.errors import ConfigError
from mtgrpo.imports import with_lasting_paths
from mtgrpo.values import check_type


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
        model: ``tiny`` (the embedded model), ``smollm2`` or ``smollm2-warm`` (docs/smollm2.md), a
            directory, or a hub name.
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
        peft: Arguments of peft's ``LoraConfig``: an adapter is trained instead of the model.
        environment: Import path of what makes an environment (TRL's ``environment_factory``), or a
            mapping of several by name, of which each row's column ``environment`` names one.
        tools: Import paths of functions that the model may call.
        report_to: Where metrics go besides the run directory, such as ``trackio``,
            ``tensorboard`` or ``[tensorboard, wandb]``.
        trl: Further fields of TRL's ``GRPOConfig``, passed on as they are.
    """

    tasks: Sequence[Mapping[str, Any]]
    output: str = "runs/run"
    model: str = "tiny"
    preset: str = "grpo_fair"
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
    peft: Mapping[str, Any] | None = None
    environment: str | Mapping[str, str] | None = None
    tools: Sequence[str] = field(default_factory=list[str])
    report_to: str | Sequence[str] = "none"
    trl: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunSettings):
    """One training run as a user writes it: a preset, and what differs from it.

    Attributes:
        weighting: Changes to the preset's weighting, or the import path of another rule.
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

    weighting: str | Mapping[str, Any] = field(default_factory=dict[str, Any])
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
        weighting = self.weighting
        method = presets.get(
            self.preset,
            variant=self.variant,
            setting=self.setting,
            weighting={"rule": weighting} if isinstance(weighting, str) else weighting,
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
        origin: Begins error messages: the file, and what the command line changed in it.

    Raises:
        ConfigError: A number that cannot work.
    """

    method: Method
    origin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_places(self)
        _check_sizes(self)
        _check_seeds(self)
        _check_evaluation(self)

    def as_dict(self) -> dict[str, Any]:
        """The configuration with everything written out, in plain values.

        It is written to ``config.yaml`` and resolves to the same run when it is read again.
        """
        method = with_lasting_paths(self.method.as_dict())

        written: dict[str, Any] = {}
        for key in (f.name for f in fields(RunConfig)):
            value = method[key] if key in method else getattr(self, key)
            is_section = isinstance(value, EvaluationConfig | CheckpointConfig | ModelShape)
            written[key] = dataclasses.asdict(value) if is_section else value
        return written


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

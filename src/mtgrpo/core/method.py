"""Everything in which one multi-task method differs from another, as one value."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.mixer import OBSERVATIONS, TASK_REWARDS, TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.registry import describe_sampler, describe_weighting
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import ImprovementAware, TaskWeighting
from mtgrpo.errors import ConfigError, StateError, unknown

SURROGATES = ("mean", "sum")


@dataclass(frozen=True)
class Method:
    """One multi-task method: a reusable value that trainers, configurations and presets share.

        method = Method(Balanced(gap=0.1), loss_shares=True)
        trainer = MultiTaskGRPOTrainer(model, tasks=tasks, method=method)

    `mtgrpo.presets.get` returns the named ones; `dataclasses.replace` changes one.

    Attributes:
        weighting: Rule for the task weights. It is a prototype: every run gets a copy.
        sampler: Rule for filling a batch; a prototype as well.
        name: What logs call the method.
        task_reward: What J_k is: the mean ``"accuracy"`` of the groups that `observe` names, before
            the filter, or their mean ``"reward"``.
        observe: Over what J_k is observed: the ``"first_round"`` of a step, the whole ``"step"``
            (paper) or each generation ``"round"`` (released code). See `TaskMixer`.
        surrogate: How the engine measures I_k when the weighting asks for it: ``"mean"`` (paper)
            or ``"sum"`` (released code).
        loss_shares: Whether advantages are scaled so that each task's share of the loss is its
            share of the quotas. See `mtgrpo.core.loss_shares`.
        prompt_memory: Whether prompts whose last groups were all right or all wrong are asked
            again rarely. See `mtgrpo.core.prompt_memory`.
        clip: Lower and upper clip of the policy ratio, epsilon and epsilon_high; None leaves
            them to the engine.
        summary: What it is, in one line.

    Raises:
        ConfigError: A part of the wrong type, or a value that is not allowed.
        StateError: A weighting or sampler that is bound to tasks already.
    """

    weighting: TaskWeighting = field(default_factory=ImprovementAware)
    sampler: Sampler = field(default_factory=RatioPreservingSampler)
    name: str = "custom"
    task_reward: str = "accuracy"
    observe: str = "first_round"
    surrogate: str = "mean"
    loss_shares: bool = False
    prompt_memory: bool = False
    clip: tuple[float, float] | None = None
    summary: str = ""

    def __post_init__(self) -> None:
        self._check_parts()

        for key, allowed in (
            ("task_reward", TASK_REWARDS),
            ("observe", OBSERVATIONS),
            ("surrogate", SURROGATES),
        ):
            if getattr(self, key) not in allowed:
                raise ConfigError(unknown("Method", key, getattr(self, key), allowed))

        if self.sampler.needs_loss_shares and not self.loss_shares:
            raise ConfigError(
                f"Method: {type(self.sampler).__name__} makes the tasks' shares in the loss, but "
                "loss_shares=False; set loss_shares=True"
            )

        has_probes = isinstance(self.sampler, OneRoundSampler) and self.sampler.probes is not None
        if has_probes and (self.weighting.uses_improvements or self.weighting.uses_advantages):
            raise ConfigError(
                f"Method: {type(self.weighting).__name__} measures each task's groups, of which a "
                "sampler with probes completes some by chance; set probes to None, or take a "
                "weighting that goes by rewards"
            )

        if self.clip is not None and not all(bound >= 0 for bound in self.clip):
            raise ConfigError(
                f"Method: clip={self.clip}; epsilon and epsilon_high must be at least 0"
            )

    def make_mixer(
        self,
        tasks: Sequence[str],
        *,
        batch_size: int,
        families: Mapping[str, str] | None = None,
        reward_ranges: Mapping[str, tuple[float, float]] | None = None,
        seed: int = 0,
    ) -> TaskMixer:
        """A mixer with its own copies of the weighting and the sampler.

        Args:
            tasks: Task names.
            batch_size: Groups per training batch.
            families: Family of each task that has one; estimates are shared within it.
            reward_ranges: Lowest and highest reward of graded tasks, where they are known.
            seed: Seed of all the mixer's randomness.

        Raises:
            ConfigError: As `TaskMixer`.
        """
        return TaskMixer(
            tasks,
            batch_size=batch_size,
            weighting=copy.deepcopy(self.weighting),
            sampler=copy.deepcopy(self.sampler),
            task_reward=self.task_reward,
            observe=self.observe,
            families=families,
            reward_ranges=reward_ranges,
            seed=seed,
        )

    def as_dict(self) -> dict[str, Any]:
        """All of the method but its name, in plain values, under the keys of a configuration."""
        return {
            "weighting": describe_weighting(self.weighting),
            "sampler": describe_sampler(self.sampler),
            "task_reward": self.task_reward,
            "observe": self.observe,
            "surrogate": self.surrogate,
            "loss_shares": self.loss_shares,
            "prompt_memory": self.prompt_memory,
            "clip": None if self.clip is None else list(self.clip),
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}" if self.summary else self.name]

        for key, value in self.as_dict().items():
            if key in ("weighting", "sampler"):
                lines.append(f"  {key}:")
                lines += [f"    {inner}: {show_value(part)}" for inner, part in value.items()]
            else:
                lines.append(f"  {key}: {show_value(value)}")
        return "\n".join(lines)

    def _check_parts(self) -> None:
        # Python callers are not all type-checked: Method("balanced") is an easy mistake.
        for key, kind in (("weighting", TaskWeighting), ("sampler", Sampler)):
            part = cast("object", getattr(self, key))
            if not isinstance(part, kind):
                raise ConfigError(
                    f"Method: {key} is {part!r}; a {kind.__name__} is needed; "
                    "for a named method use mtgrpo.presets.get(name)"
                )
            if part.tasks:
                raise StateError(
                    f"Method: its {key} is bound to {list(part.tasks)}; give an unbound one: "
                    "every run gets a copy of its own"
                )


def show_value(value: object) -> str:
    """A plain value as YAML writes it on one line."""
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{key}: {show_value(inner)}" for key, inner in pairs) + "}"
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return "[" + ", ".join(show_value(item) for item in items) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)

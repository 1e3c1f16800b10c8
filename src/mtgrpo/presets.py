"""The named methods and settings of the paper, each complete and printable.

A preset is looked up by (name, variant, setting):

* name: what the field calls the method (`NAMES`);
* variant: ``paper`` follows the pseudo-code, ``released`` the published code where it differs, ``default``
  has the same weights and roles with this library's own estimates, quotas and rounds;
* setting: ``three_tasks`` or ``nine_tasks``, the two experiments with published hyper-parameters.

``balanced`` is this library's own method, not the paper's: one and the same in every variant and setting.

docs/paper-map.md lists every difference between the variants and where it is implemented.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mtgrpo.build import build_sampler, build_weighting, complete_sampler, complete_weighting
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.weightings import TaskWeighting
from mtgrpo.errors import ConfigError, unknown

VARIANTS = ("default", "paper", "released")
SETTINGS = ("three_tasks", "nine_tasks")

# name: (weighting, sampler, (epsilon, epsilon_high), what it is)
_METHODS: Mapping[str, tuple[str, str, tuple[float, float], str]] = {
    "grpo": ("uniform", "plain", (0.2, 0.2), "GRPO on the uniform mixture"),
    "sec_grpo": ("sec", "plain", (0.2, 0.2), "GRPO with SEC's curriculum over tasks"),
    "dapo": ("uniform", "dapo", (0.2, 0.28), "task-blind dynamic sampling on the uniform mixture"),
    "sec_dapo": ("sec", "dapo", (0.2, 0.28), "dynamic sampling with SEC's curriculum over tasks"),
    "grpo_iwu": (
        "improvement_aware",
        "plain",
        (0.2, 0.28),
        "ablation: adaptive weights without the sampler",
    ),
    "grpo_rps": (
        "uniform",
        "rps",
        (0.2, 0.28),
        "ablation: ratio-preserving sampler without adaptive weights",
    ),
    "mt_grpo": (
        "improvement_aware",
        "rps",
        (0.2, 0.28),
        "MT-GRPO with improvement-aware weights (Subroutine 1)",
    ),
    "mt_grpo_reg": (
        "regularized",
        "rps",
        (0.2, 0.28),
        "MT-GRPO with regularised reward-only weights (Subroutine 2)",
    ),
    "worst_task": (
        "regularized",
        "rps",
        (0.2, 0.28),
        "strict worst-task optimisation: Subroutine 2 with eta = 0",
    ),
    "seq_grpo": ("sequential", "plain", (0.2, 0.2), "GRPO on one task family after the other"),
    "balanced": (
        "balanced",
        "needed",
        (0.2, 0.28),
        "this library's own: no knob to tune, fewer rollouts",
    ),
    "seq_dapo": (
        "sequential",
        "dapo",
        (0.2, 0.28),
        "dynamic sampling on one task family after the other",
    ),
}
NAMES = tuple(_METHODS)
_SWITCHES = (
    "task_reward",
    "observe",
    "surrogate",
    "loss_shares",
    "prompt_memory",
    "epsilon",
    "epsilon_high",
)


@dataclass(frozen=True)
class Preset:
    """One named method, with every value it stands for.

    Attributes:
        name: Name in `NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: ``three_tasks`` or ``nine_tasks``.
        summary: What it is, in one line.
        weighting: Complete description for `mtgrpo.build.build_weighting`.
        sampler: Complete description for `mtgrpo.build.build_sampler`.
        task_reward: What J_k is: ``accuracy`` or ``reward``.
        observe: Whether J_k is observed once a ``step`` or once a ``round``.
        surrogate: How the engine measures I_k when the weighting asks for it: ``mean`` or ``sum``.
        loss_shares: Whether the engine gives each task its share of the loss, not of the groups alone.
        prompt_memory: Whether prompts that were all right or all wrong are asked again rarely.
        epsilon: Lower clip of the policy ratio.
        epsilon_high: Upper clip of the policy ratio.
    """

    name: str
    variant: str
    setting: str
    summary: str
    weighting: Mapping[str, Any]
    sampler: Mapping[str, Any]
    task_reward: str
    observe: str
    surrogate: str
    loss_shares: bool
    prompt_memory: bool
    epsilon: float
    epsilon_high: float

    def changed_weighting(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The description of the weighting with other arguments, or of another rule with its own defaults.

        The published clip of the improvement goes with lambda, so another ``lam`` brings its clip along.
        """
        rule = changes.get("rule", self.weighting["rule"])
        if rule != self.weighting["rule"]:
            return dict(changes)
        spec = {**self.weighting, **changes}
        if rule == "improvement_aware" and "lam" in changes and "improvement_clip" not in changes:
            spec["improvement_clip"] = _improvement_clip(self.setting, changes["lam"])
        return spec

    def make_weighting(self) -> TaskWeighting:
        """A fresh weighting, not yet bound to tasks."""
        return build_weighting(self.weighting, f"preset {self.name}: weighting")

    def make_sampler(self) -> RatioPreservingSampler:
        """A fresh sampler, not yet bound to tasks."""
        return build_sampler(self.sampler, f"preset {self.name}: sampler")

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.variant}, {self.setting}): {self.summary}"]
        for section in ("weighting", "sampler"):
            lines.append(f"  {section}:")
            lines += [f"    {key}: {_show(value)}" for key, value in getattr(self, section).items()]
        for key in _SWITCHES:
            lines.append(f"  {key}: {_show(getattr(self, key))}")
        return "\n".join(lines)


def get(name: str, *, variant: str = "default", setting: str = "three_tasks") -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: Unknown name, variant or setting, with a suggestion.
    """
    for kind, value, allowed in (
        ("name", name, NAMES),
        ("variant", variant, VARIANTS),
        ("setting", setting, SETTINGS),
    ):
        if value not in allowed:
            raise ConfigError(unknown("preset", kind, value, allowed))
    rule, fill, (epsilon, epsilon_high), summary = _METHODS[name]
    regularized = rule == "regularized"
    # Nothing of the method that is our own was published: its variants do not differ.
    shown, variant = variant, "default" if rule == "balanced" else variant
    return Preset(
        name=name,
        variant=shown,
        setting=setting,
        summary=summary,
        weighting=complete_weighting(_weighting(name, rule, variant, setting)),
        sampler=complete_sampler(_sampler(fill, variant, setting, regularized)),
        task_reward="reward" if variant == "paper" else "accuracy",
        observe="round" if variant == "released" else "step",
        surrogate="sum" if variant == "released" else "mean",
        loss_shares=rule == "balanced",
        prompt_memory=rule == "balanced",
        epsilon=epsilon,
        epsilon_high=epsilon_high,
    )


def weighting(
    name: str,
    tasks: Sequence[str],
    *,
    variant: str = "default",
    setting: str | None = None,
    **overrides: float,
) -> TaskWeighting:
    """The weighting of a preset, bound to `tasks` and ready for ``update`` and ``weights``.

    Args:
        name: Preset name.
        tasks: Task names.
        variant: ``default``, ``paper`` or ``released``.
        setting: Whose hyper-parameters to start from; by default the published setting nearer in number of
            tasks (``three_tasks`` up to six).
        overrides: Arguments of the rule by name: ``lam``, ``weight_lr``, ``weight_decay``, ``improvement_clip``,
            ``reward_ema`` for improvement-aware rules, ``eta``, ``weight_lr``, ``reward_ema`` for regularised ones.

    Raises:
        ConfigError: Unknown name, or an override the rule does not have.
    """
    setting = setting or ("three_tasks" if len(tasks) <= 6 else "nine_tasks")
    preset = get(name, variant=variant, setting=setting)
    return build_weighting(preset.changed_weighting(overrides), f"preset {name}").bind(tasks)


def _improvement_clip(setting: str, lam: Any) -> float:
    # Published: .1 for three tasks; .2 for nine, except at lambda = .3. (`lam` may not have been checked yet.)
    is_point_three = isinstance(lam, numbers.Real) and math.isclose(lam, 0.3, rel_tol=1e-6)
    return 0.1 if setting == "three_tasks" or is_point_three else 0.2


def _weighting(name: str, rule: str, variant: str, setting: str) -> dict[str, Any]:
    # J: the latest mean alone in the paper; a moving average from 0 in the released code.
    estimate: dict[str, Any] = {
        "paper": {"reward_ema": 0.0, "reward_start": None},
        "released": {"reward_ema": 0.5, "reward_start": 0.0},
        "default": {"reward_ema": 0.5, "reward_start": None},
    }[variant]
    updates = "minibatch" if variant == "released" else "step"
    if rule == "improvement_aware":
        lam = 0.2 if setting == "three_tasks" else 0.3
        return {
            "rule": rule,
            "lam": lam,
            "weight_lr": 0.025,
            "weight_decay": 1e-5 if setting == "three_tasks" else 1e-4,
            "improvement_clip": _improvement_clip(setting, lam),
            **estimate,
            "improvement": "rewards" if variant == "default" else "surrogate",
            "updates": updates,
            "optimizer": "adam" if variant == "released" else "adamw",
        }
    if rule == "regularized":
        return {
            "rule": rule,
            "eta": 0.0 if name == "worst_task" else 5e-4,
            "weight_lr": 0.025,
            "reward_scale": 1.0 if variant == "paper" else 0.2,
            **estimate,
            "updates": updates,
            "optimizer": "adamw" if variant == "paper" else "adam",
        }
    return {"rule": rule}


def _sampler(fill: str, variant: str, setting: str, regularized: bool) -> dict[str, Any]:
    three = setting == "three_tasks"
    if fill == "plain":
        quotas = "systematic" if variant == "default" else "multinomial"
        return {"quotas": quotas, "group_filter": "none", "max_resamples": 0}
    filters = {
        "default": "informative",
        "paper": "strict" if three else "lenient",
        "released": "strict" if three else "released_lenient",
    }
    if fill == "needed":
        return {
            "rounds": {"kind": "needed", "confidence": 0.5, "max_inflation": 12.0},
            "max_staleness": 2,
            "max_prompts_per_group": 12.0,
        }
    # The paper counts resamples, the released code rounds with the first among them.
    num_resamples = (10 if three else 2) - (1 if variant == "released" else 0)
    common = {
        "group_filter": filters[variant],
        "max_resamples": num_resamples if variant != "default" else 10,
    }
    if fill == "dapo":
        return {
            **common,
            "keep_shares": False,
            "rounds": {"kind": "oversampled", "oversampling": 3.0, "max_inflation": 1.0},
        }
    if variant == "default":
        return common
    inflation = 1.0 if variant == "released" and three else 5.0
    return {
        **common,
        "quotas": "multinomial" if variant == "paper" else "released",
        "rounds": {
            "kind": "oversampled",
            "oversampling": 3.0,
            "max_inflation": inflation,
            "refill": "deficit" if variant == "paper" else "same_until_full",
        },
        # Algorithm 2 takes rho as it stands at the beginning of a step.
        "acceptance": {
            "kind": "ema",
            "decay": 0.9,
            "per": "step" if variant == "paper" else "round",
        },
        "shares_from_step": 10 if variant == "released" and (regularized or not three) else 0,
    }


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{key}: {_show(inner)}" for key, inner in pairs) + "}"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )

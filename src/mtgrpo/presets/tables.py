"""What each variant of a preset makes of its parts, as literal tables.

A recipe names a weighting and a sampler; the tables of a variant have their arguments.
docs/paper-map.md says where each number comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

SETTINGS = ("three_tasks", "nine_tasks")

Spec: TypeAlias = "dict[str, Any]"


class Variant(NamedTuple):
    """What a variant makes of the parts that recipes name.

    Attributes:
        signals: What J_k and I_k are: ``task_reward``, ``observe`` and ``surrogate``.
        weightings: Arguments of the paper's two rules; those of `PUBLISHED` come on top.
        samplers: By setting, the arguments of each sampler.
    """

    signals: Mapping[str, str]
    weightings: Mapping[str, Spec]
    samplers: Mapping[str, Mapping[str, Spec]]


# Tuned in the paper for each of its two experiments, in every variant.
PUBLISHED: Mapping[str, Spec] = {
    "three_tasks": {"lam": 0.2, "weight_decay": 1e-5, "improvement_clip": 0.1},
    "nine_tasks": {"lam": 0.3, "weight_decay": 1e-4, "improvement_clip": 0.1},
}

# Rules that are the same in every variant and setting.
CONSTANT_WEIGHTINGS: Mapping[str, Spec] = {
    "uniform": {"rule": "uniform"},
    "sec": {"rule": "sec"},
    "sequential": {"rule": "sequential"},
    "sfl": {"rule": "sfl"},
    "thompson": {"rule": "thompson"},
    "dump": {"rule": "dump"},
    "drats": {"rule": "drats"},
}


def _oversampled(max_inflation: float, refill: str = "deficit") -> Spec:
    return {
        "kind": "oversampled",
        "oversampling": 3.0,
        "max_inflation": max_inflation,
        "refill": refill,
    }


def _weightings(
    estimate: Spec, improvement_aware: Spec, regularized: Spec, updates: str
) -> Mapping[str, Spec]:
    """The paper's two rules; both are fed with the same estimate of J."""
    common: Spec = {"weight_lr": 0.025, "updates": updates, **estimate}
    return {
        "improvement_aware": {"rule": "improvement_aware", **common, **improvement_aware},
        "regularized": {"rule": "regularized", "eta": 5e-4, **common, **regularized},
        "worst_task": {"rule": "regularized", "eta": 0.0, **common, **regularized},
    }


_DEFAULT_SAMPLERS: Mapping[str, Spec] = {
    "plain": {"quota_rule": "systematic", "group_filter": "none", "max_resamples": 0},
    "dapo": {
        "group_filter": "informative",
        "max_resamples": 10,
        "keep_shares": False,
        "planner": _oversampled(1.0),
    },
    "rps": {"group_filter": "informative", "max_resamples": 10},
    "rps_regularized": {"group_filter": "informative", "max_resamples": 10},
}

_DEFAULT = Variant(
    signals={"task_reward": "accuracy", "observe": "first_round", "surrogate": "mean"},
    weightings=_weightings(
        estimate={"reward_ema": 0.5, "reward_start": None},
        improvement_aware={"improvement": "rewards", "optimizer": "adamw"},
        regularized={"reward_scale": 0.2, "optimizer": "adam"},
        updates="step",
    ),
    samplers={"three_tasks": _DEFAULT_SAMPLERS, "nine_tasks": _DEFAULT_SAMPLERS},
)

# J is the latest mean alone. Algorithm 2 takes rho as it stands at the beginning of a step.
_PAPER_PLAIN: Spec = {"quota_rule": "multinomial", "group_filter": "none", "max_resamples": 0}
_PAPER_RPS: Spec = {
    "quota_rule": "multinomial",
    "planner": _oversampled(5.0),
    "acceptance": {"kind": "ema", "decay": 0.9, "per": "step"},
}
_PAPER_DAPO: Spec = {"keep_shares": False, "planner": _oversampled(1.0)}
_PAPER_THREE: Spec = {"group_filter": "strict", "max_resamples": 10}
_PAPER_NINE: Spec = {"group_filter": "lenient", "max_resamples": 2}

_PAPER = Variant(
    signals={"task_reward": "reward", "observe": "step", "surrogate": "mean"},
    weightings=_weightings(
        estimate={"reward_ema": 0.0, "reward_start": None},
        improvement_aware={"improvement": "surrogate", "optimizer": "adamw"},
        regularized={"reward_scale": 1.0, "optimizer": "adamw"},
        updates="step",
    ),
    samplers={
        "three_tasks": {
            "plain": _PAPER_PLAIN,
            "dapo": {**_PAPER_DAPO, **_PAPER_THREE},
            "rps": {**_PAPER_RPS, **_PAPER_THREE},
            "rps_regularized": {**_PAPER_RPS, **_PAPER_THREE},
        },
        "nine_tasks": {
            "plain": _PAPER_PLAIN,
            "dapo": {**_PAPER_DAPO, **_PAPER_NINE},
            "rps": {**_PAPER_RPS, **_PAPER_NINE},
            "rps_regularized": {**_PAPER_RPS, **_PAPER_NINE},
        },
    },
)

# J is a moving average from 0. The code counts rounds, the first among them, where the paper counts
# resamples. Quotas bind from step 10 on in all regularised runs and in the nine-task setting.
_RELEASED_PLAIN = _PAPER_PLAIN
_RELEASED_DAPO = _PAPER_DAPO
_RELEASED_RPS: Spec = {
    "quota_rule": "released",
    "acceptance": {"kind": "ema", "decay": 0.9, "per": "round"},
}
_RELEASED_THREE: Spec = {"group_filter": "strict", "max_resamples": 9}
_RELEASED_NINE: Spec = {"group_filter": "released_lenient", "max_resamples": 1}
_RELEASED_RPS_THREE: Spec = {
    **_RELEASED_RPS,
    **_RELEASED_THREE,
    "planner": _oversampled(1.0, "same_until_full"),
}
_RELEASED_RPS_NINE: Spec = {
    **_RELEASED_RPS,
    **_RELEASED_NINE,
    "planner": _oversampled(5.0, "same_until_full"),
}

_RELEASED = Variant(
    signals={"task_reward": "accuracy", "observe": "round", "surrogate": "sum"},
    weightings=_weightings(
        estimate={"reward_ema": 0.5, "reward_start": 0.0},
        improvement_aware={"improvement": "surrogate", "optimizer": "adam"},
        regularized={"reward_scale": 0.2, "optimizer": "adam"},
        updates="minibatch",
    ),
    samplers={
        "three_tasks": {
            "plain": _RELEASED_PLAIN,
            "dapo": {**_RELEASED_DAPO, **_RELEASED_THREE},
            "rps": {**_RELEASED_RPS_THREE, "shares_from_step": 0},
            "rps_regularized": {**_RELEASED_RPS_THREE, "shares_from_step": 10},
        },
        "nine_tasks": {
            "plain": _RELEASED_PLAIN,
            "dapo": {**_RELEASED_DAPO, **_RELEASED_NINE},
            "rps": {**_RELEASED_RPS_NINE, "shares_from_step": 10},
            "rps_regularized": {**_RELEASED_RPS_NINE, "shares_from_step": 10},
        },
    },
)

# This library's own methods: nothing of them was published that variants could differ in.
OWN_WEIGHTINGS: Mapping[str, Spec] = {
    "grpo_fair": {
        "rule": "balanced",
        "worst_fraction": 0.5,
        "temperature": 0.5,
        "max_pressure": 1.0,
    },
    "balanced": {"rule": "balanced"},
}
OWN_SAMPLERS: Mapping[str, Spec] = {
    "grpo_fair": {"rounds": "one"},
    "balanced": {
        "planner": {"kind": "needed", "confidence": 0.5, "max_inflation": 12.0},
        "max_staleness": 2,
        "max_prompts_per_group": 12.0,
    },
}

TABLES: Mapping[str, Variant] = {"default": _DEFAULT, "paper": _PAPER, "released": _RELEASED}

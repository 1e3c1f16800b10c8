"""Name, variant and setting -> method."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from mtgrpo.build import build_sampler, build_weighting
from mtgrpo.core.method import Method
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.presets.tables import (
    CONSTANT_WEIGHTINGS,
    OWN_SAMPLERS,
    OWN_WEIGHTINGS,
    PUBLISHED,
    SETTINGS,
    TABLES,
    Spec,
)

VARIANTS = tuple(TABLES)


class _Recipe(NamedTuple):
    """A method as a choice of parts, which the tables of the variants fill in.

    Attributes:
        weighting: Key of a variant's weightings.
        sampler: Key of a variant's samplers.
        clip: epsilon and epsilon_high.
        summary: What it is, in one line.
    """

    weighting: str
    sampler: str
    clip: tuple[float, float]
    summary: str


_GRPO_CLIP = (0.2, 0.2)
_DAPO_CLIP = (0.2, 0.28)

_RECIPES: Mapping[str, _Recipe] = {
    "grpo": _Recipe("uniform", "plain", _GRPO_CLIP, "GRPO on the uniform mixture"),
    "sec_grpo": _Recipe("sec", "plain", _GRPO_CLIP, "GRPO with SEC's curriculum over tasks"),
    "dapo": _Recipe(
        "uniform", "dapo", _DAPO_CLIP, "task-blind dynamic sampling on the uniform mixture"
    ),
    "sec_dapo": _Recipe(
        "sec", "dapo", _DAPO_CLIP, "dynamic sampling with SEC's curriculum over tasks"
    ),
    "grpo_iwu": _Recipe(
        "improvement_aware", "plain", _DAPO_CLIP, "ablation: adaptive weights without the sampler"
    ),
    "grpo_rps": _Recipe(
        "uniform", "rps", _DAPO_CLIP, "ablation: ratio-preserving sampler without adaptive weights"
    ),
    "mt_grpo": _Recipe(
        "improvement_aware",
        "rps",
        _DAPO_CLIP,
        "MT-GRPO with improvement-aware weights (Subroutine 1)",
    ),
    "mt_grpo_reg": _Recipe(
        "regularized",
        "rps_regularized",
        _DAPO_CLIP,
        "MT-GRPO with regularised reward-only weights (Subroutine 2)",
    ),
    "worst_task": _Recipe(
        "worst_task",
        "rps_regularized",
        _DAPO_CLIP,
        "strict worst-task optimisation: Subroutine 2 with eta = 0",
    ),
    "seq_grpo": _Recipe(
        "sequential", "plain", _GRPO_CLIP, "GRPO on one task family after the other"
    ),
    "seq_dapo": _Recipe(
        "sequential", "dapo", _DAPO_CLIP, "dynamic sampling on one task family after the other"
    ),
    "sfl": _Recipe(
        "sfl", "plain", _GRPO_CLIP, "GRPO with weights by learnability, J (1 - J); not the paper's"
    ),
    "thompson": _Recipe(
        "thompson", "plain", _GRPO_CLIP, "GRPO with Thompson sampling of tasks; not the paper's"
    ),
    "dump": _Recipe(
        "dump", "plain", _GRPO_CLIP, "GRPO with DUMP's UCB curriculum over tasks; not the paper's"
    ),
    "drats": _Recipe(
        "drats", "plain", _GRPO_CLIP, "GRPO with minimax weights on the gap to a target return"
    ),
    "grpo_fair": _Recipe(
        "grpo_fair",
        "grpo_fair",
        _DAPO_CLIP,
        "this library's own: GRPO's cost, shares made in the loss, mild weights",
    ),
    "balanced": _Recipe(
        "balanced", "balanced", _DAPO_CLIP, "this library's own: no knob to tune, fewer rollouts"
    ),
}
NAMES = tuple(_RECIPES)


def get(
    name: str,
    *,
    variant: str = "default",
    setting: str = "three_tasks",
    weighting: Mapping[str, Any] | None = None,
    sampler: Mapping[str, Any] | None = None,
) -> Method:
    """The method of that name, with changes if any.

    Args:
        name: Name in `NAMES`.
        variant: ``default``, ``paper`` or ``released``.
        setting: ``three_tasks`` or ``nine_tasks``.
        weighting: Arguments of the rule that differ, or another ``rule`` with its own defaults.
            The published clip of the improvement goes with lambda, so another ``lam`` brings its
            clip along.
        sampler: Arguments of the sampler that differ. Of ``planner`` and ``acceptance`` single
            arguments may be given, unless their ``kind`` is another. With ``rounds: one``, see
            `OneRoundSampler`, all start from its own defaults but the filter.

    Raises:
        ConfigError: Unknown name, variant or setting, with a suggestion; or a change that cannot be
            made.
    """
    for kind, value, allowed in (
        ("name", name, NAMES),
        ("variant", variant, VARIANTS),
        ("setting", setting, SETTINGS),
    ):
        if value not in allowed:
            raise ConfigError(unknown("preset", kind, value, allowed))

    recipe = _RECIPES[name]
    weighting_spec = _weighting_spec(recipe.weighting, variant, setting)
    sampler_spec = _sampler_spec(recipe.sampler, variant, setting)
    is_ours = name in OWN_SAMPLERS  # of which nothing was published that variants could differ in

    built = build_sampler(_changed_sampler(sampler_spec, sampler or {}))
    return Method(
        weighting=build_weighting(_changed_rule(weighting_spec, weighting or {}, setting)),
        sampler=built,
        name=name,
        **TABLES["default" if is_ours else variant].signals,
        loss_shares=is_ours or built.needs_loss_shares,
        prompt_memory=is_ours,
        clip=recipe.clip,
        summary=recipe.summary,
    )


def nearest_setting(num_tasks: int) -> str:
    """The published setting nearer in number of tasks: ``three_tasks`` up to six."""
    return "three_tasks" if num_tasks <= 6 else "nine_tasks"


def _weighting_spec(key: str, variant: str, setting: str) -> Spec:
    if key in OWN_WEIGHTINGS:
        return OWN_WEIGHTINGS[key]
    if key in CONSTANT_WEIGHTINGS:
        return CONSTANT_WEIGHTINGS[key]

    spec = TABLES[variant].weightings[key]
    if key == "improvement_aware":
        return {**spec, **PUBLISHED[setting]}
    return spec


def _sampler_spec(key: str, variant: str, setting: str) -> Spec:
    spec = OWN_SAMPLERS[key] if key in OWN_SAMPLERS else TABLES[variant].samplers[setting][key]
    if spec.get("rounds") == "one":
        return {"acceptance": {"kind": "counted"}, **spec}

    # The defaults by name, so that single arguments of them can be changed.
    return {"planner": {"kind": "needed"}, "acceptance": {"kind": "counted"}, **spec}


def _changed_rule(spec: Spec, changes: Mapping[str, Any], setting: str) -> Spec:
    rule = spec["rule"]
    if changes.get("rule", rule) != rule:
        return dict(changes)  # another rule starts from its own defaults

    changed = {**spec, **changes}
    if rule == "improvement_aware" and "lam" in changes and "improvement_clip" not in changes:
        changed["improvement_clip"] = _published_clip(setting, changes["lam"])
    return changed


def _published_clip(setting: str, lam: Any) -> float:
    """.1 for three tasks; .2 for nine, except at lambda = .3. `lam` may not be checked yet."""
    if setting == "three_tasks":
        return 0.1
    is_point_three = isinstance(lam, numbers.Real) and math.isclose(lam, 0.3, rel_tol=1e-6)
    return 0.1 if is_point_three else 0.2


def _changed_sampler(spec: Spec, changes: Mapping[str, Any]) -> Spec:
    rounds = spec.get("rounds", "refill")
    if changes.get("rounds", rounds) != rounds:
        spec = _of_other_rounds(spec)

    changed = {**spec, **changes}
    for key in ("planner", "acceptance"):
        if key in spec and isinstance(changed[key], Mapping):
            before, change = spec[key], cast("Spec", changed[key])
            is_same_kind = change.get("kind", before["kind"]) == before["kind"]
            changed[key] = {**before, **change} if is_same_kind else change
    return changed


def _of_other_rounds(spec: Spec) -> Spec:
    """What the one kind of sampler has of the other: the filter, if there is one."""
    started: Spec = {"acceptance": {"kind": "counted"}}
    if spec.get("group_filter", "none") != "none":
        started["group_filter"] = spec["group_filter"]
    return started

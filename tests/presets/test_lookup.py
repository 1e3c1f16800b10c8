"""Presets: complete, printable, and where a variant must differ, different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtgrpo import presets
from mtgrpo.build import build_sampler, build_weighting
from mtgrpo.core.filters import informative, keep_all, released_lenient, strict
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import NeededRounds, OversampledRounds
from mtgrpo.core.registry import describe_sampler
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import ImprovementAware
from mtgrpo.errors import ConfigError

from .bound import bound

Config = dict[str, Any]

ALL = [(n, v, s) for n in presets.NAMES for v in presets.VARIANTS for s in presets.SETTINGS]


@pytest.mark.parametrize(("name", "variant", "setting"), ALL)
def test_every_preset_builds_is_complete_and_prints_every_value(
    name: str, variant: str, setting: str
) -> None:
    method = presets.get(name, variant=variant, setting=setting)
    method.make_mixer(["a", "b", "c"], batch_size=8)
    plain = method.as_dict()
    again = replace(
        method,
        weighting=build_weighting(plain["weighting"]),
        sampler=build_sampler(plain["sampler"]),
    )
    assert again.as_dict() == plain
    text = str(method)
    for key in (*plain["weighting"], *plain["sampler"], "clip"):
        assert f"{key}: " in text


def weighting_of(name: str, variant: str = "default", setting: str = "three_tasks") -> Config:
    return presets.get(name, variant=variant, setting=setting).as_dict()["weighting"]


def sampler_of(name: str, variant: str = "default", setting: str = "three_tasks") -> Config:
    return presets.get(name, variant=variant, setting=setting).as_dict()["sampler"]


def test_hyper_parameters_of_the_two_published_settings() -> None:
    three = presets.get("mt_grpo", variant="released", setting="three_tasks")
    nine = presets.get("mt_grpo", variant="released", setting="nine_tasks")
    assert isinstance(three.weighting, ImprovementAware)
    assert isinstance(nine.weighting, ImprovementAware)
    assert (three.weighting.improvement_clip, three.weighting.weight_decay) == (0.1, 1e-5)
    assert nine.weighting.weight_decay == 1e-4
    # Rounds, the first included.
    assert (three.sampler.max_resamples, nine.sampler.max_resamples) == (9, 1)
    assert (three.sampler.shares_from_step, nine.sampler.shares_from_step) == (0, 10)
    assert sampler_of("mt_grpo", "released")["planner"]["max_inflation"] == 1.0
    assert sampler_of("mt_grpo", "released", "nine_tasks")["planner"]["max_inflation"] == 5.0
    assert three.sampler.group_filter is strict
    assert nine.sampler.group_filter is released_lenient
    assert sampler_of("mt_grpo_reg", "released")["shares_from_step"] == 10
    assert sampler_of("mt_grpo", "paper")["max_resamples"] == 10


# (variant, setting): quota rule, filter, rounds allowed with the first, inflation cap, rho per, shares bind from step
SAMPLERS = {
    ("paper", "three_tasks"): ("multinomial", "strict", 11, 5.0, "deficit", "step", 0),
    ("paper", "nine_tasks"): ("multinomial", "lenient", 3, 5.0, "deficit", "step", 0),
    ("released", "three_tasks"): ("released", "strict", 10, 1.0, "same_until_full", "round", 0),
    ("released", "nine_tasks"): (
        "released",
        "released_lenient",
        2,
        5.0,
        "same_until_full",
        "round",
        10,
    ),
}


@pytest.mark.parametrize(("variant", "setting"), SAMPLERS)
@pytest.mark.parametrize("name", ["grpo_rps", "mt_grpo", "mt_grpo_reg", "worst_task"])
def test_ratio_preserving_sampler_as_published(name: str, variant: str, setting: str) -> None:
    quota_rule, group_filter, rounds, cap, refill, per, start = SAMPLERS[variant, setting]
    if variant == "released" and name in ("mt_grpo_reg", "worst_task"):
        start = 10  # all regularised runs
    assert sampler_of(name, variant, setting) == {
        "rounds": "refill",
        "quota_rule": quota_rule,
        "planner": {
            "kind": "oversampled",
            "oversampling": 3.0,
            "max_inflation": cap,
            "refill": refill,
        },
        "group_filter": group_filter,
        "acceptance": {"kind": "ema", "decay": 0.9, "per": per},
        "max_resamples": rounds - 1,
        "shortfall": "surplus",
        "keep_shares": True,
        "shares_from_step": start,
        "max_staleness": 0,
        "max_prompts_per_group": None,
    }


@pytest.mark.parametrize(("variant", "setting"), SAMPLERS)
@pytest.mark.parametrize("name", ["dapo", "sec_dapo", "seq_dapo"])
def test_dapo_fills_task_blind_with_the_same_filter_and_rounds(
    name: str, variant: str, setting: str
) -> None:
    _, group_filter, rounds, *_ = SAMPLERS[variant, setting]
    sampler = sampler_of(name, variant, setting)
    assert sampler["keep_shares"] is False
    assert (sampler["group_filter"], sampler["max_resamples"]) == (group_filter, rounds - 1)
    assert (sampler["planner"]["oversampling"], sampler["planner"]["max_inflation"]) == (3.0, 1.0)


@pytest.mark.parametrize(("variant", "setting"), SAMPLERS)
@pytest.mark.parametrize(
    "name",
    ["grpo", "sec_grpo", "grpo_iwu", "seq_grpo", "sfl", "thompson", "dump", "drats"],
)
def test_plain_methods_train_on_the_first_draw(name: str, variant: str, setting: str) -> None:
    method = presets.get(name, variant=variant, setting=setting)
    assert (method.sampler.group_filter, method.sampler.max_resamples) == (keep_all, 0)
    mixer = method.make_mixer(["a", "b"], batch_size=8)
    assert fill_with(mixer, (0.0, 0.0)) == [8]
    assert len(mixer.batch.groups) == 8  # type: ignore[union-attr]


def fill_with(mixer: TaskMixer, rewards: tuple[float, ...]) -> list[int]:
    """Prompts asked for in each round of a step in which every group has these rewards."""
    batch, sizes = mixer.new_batch(), list[int]()
    while request := batch.ask():
        sizes.append(sum(request.values()))
        batch.tell(
            Group.verified(task, rewards) for task, count in request.items() for _ in range(count)
        )
    return sizes


@pytest.mark.parametrize(("variant", "setting"), SAMPLERS)
@pytest.mark.parametrize("name", ["dapo", "grpo_rps"])
def test_a_step_that_accepts_nothing_uses_up_its_rounds_of_3b_and_ends(
    name: str, variant: str, setting: str
) -> None:
    mixer = presets.get(name, variant=variant, setting=setting).make_mixer(["a", "b"], batch_size=8)
    assert fill_with(mixer, (0.0, 0.0)) == [24] * SAMPLERS[variant, setting][2]
    # Groups of 0.1 throughout have no gradient; only the released lenient filter keeps them.
    mixer.update()
    kept = SAMPLERS[variant, setting][1] == "released_lenient"
    assert len(fill_with(mixer, (0.1, 0.1))) == (1 if kept else SAMPLERS[variant, setting][2])


def test_signals_of_the_variants() -> None:
    def signals(variant: str, name: str = "mt_grpo") -> tuple[object, ...]:
        p = presets.get(name, variant=variant)
        keys = ("reward_ema", "reward_start", "updates", "optimizer")
        return (p.task_reward, p.observe, p.surrogate, *(getattr(p.weighting, key) for key in keys))

    assert signals("paper") == ("reward", "step", "mean", 0.0, None, "step", "adamw")
    assert signals("released") == ("accuracy", "round", "sum", 0.5, 0.0, "minibatch", "adam")
    assert (
        signals("released", "mt_grpo_reg")
        == signals("released", "worst_task")
        == signals("released")
    )
    assert signals("paper", "mt_grpo_reg") == signals("paper")
    for variant in ("paper", "released"):
        iwu = weighting_of("grpo_iwu", variant)
        assert iwu == weighting_of("mt_grpo", variant)
        assert (iwu["improvement"], iwu["weight_lr"]) == ("surrogate", 0.025)
        worst = weighting_of("worst_task", variant)
        assert worst["reward_scale"] == {"paper": 1.0, "released": 0.2}[variant]
        assert worst["eta"] == 0.0
        assert weighting_of("sec_grpo", variant) == {
            "rule": "sec",
            "alpha": 0.5,
            "temperature": 0.2,
        }


def test_clips_follow_the_method() -> None:
    clips = {name: presets.get(name).clip for name in presets.NAMES}
    symmetric = {"grpo", "sec_grpo", "seq_grpo", "sfl", "thompson", "dump", "drats"}

    assert {name for name, clip in clips.items() if clip == (0.2, 0.2)} == symmetric
    assert {clip for name, clip in clips.items() if name not in symmetric} == {(0.2, 0.28)}


def test_grpo_fair_costs_what_grpo_costs() -> None:
    method = presets.get("grpo_fair")
    assert isinstance(method.sampler, OneRoundSampler)
    assert method.loss_shares
    assert method.prompt_memory

    rule = method.as_dict()["weighting"]
    assert (rule["temperature"], rule["max_pressure"], rule["worst_fraction"]) == (0.5, 1.0, 0.5)

    mixer = method.make_mixer(["a", "b"], batch_size=8)
    assert fill_with(mixer, (0.0, 0.0)) == [8]  # one round of B groups, whatever comes back

    refilling = presets.get("grpo_fair", sampler={"rounds": "refill"})
    assert refilling.as_dict()["sampler"]["planner"]["kind"] == "needed"
    assert refilling.loss_shares


def test_changes_are_made_to_single_arguments_or_to_whole_parts() -> None:
    changed = presets.get(
        "mt_grpo",
        variant="paper",
        weighting={"weight_lr": 0.1},
        sampler={"planner": {"oversampling": 2}, "acceptance": {"kind": "counted"}},
    ).as_dict()
    assert changed["weighting"] == {**weighting_of("mt_grpo", "paper"), "weight_lr": 0.1}
    before = sampler_of("mt_grpo", "paper")
    assert changed["sampler"]["planner"] == {**before["planner"], "oversampling": 2.0}
    assert changed["sampler"]["acceptance"] == {"kind": "counted", "decay": 0.8, "prior": 2.0}
    other = presets.get("mt_grpo", weighting={"rule": "sec", "alpha": 0.3}).as_dict()
    assert other["weighting"] == {"rule": "sec", "alpha": 0.3, "temperature": 0.2}
    assert other["sampler"] == sampler_of("mt_grpo")


@pytest.mark.parametrize(("name", "variant", "setting"), ALL)
def test_every_preset_can_have_steps_of_one_round(name: str, variant: str, setting: str) -> None:
    refilled = presets.get(name, variant=variant, setting=setting)
    one = presets.get(name, variant=variant, setting=setting, sampler={"rounds": "one"})
    assert isinstance(one.sampler, OneRoundSampler)
    assert one.loss_shares
    assert one.as_dict()["weighting"] == refilled.as_dict()["weighting"]

    # All of the sampler is its own but the filter, which must tell groups apart.
    kept = refilled.sampler.group_filter
    assert one.sampler.group_filter is (informative if kept is keep_all else kept)
    assert one.as_dict()["sampler"] == {
        **describe_sampler(OneRoundSampler()),
        "group_filter": one.as_dict()["sampler"]["group_filter"],
    }
    again = presets.get(name, sampler=one.as_dict()["sampler"])
    assert again.as_dict()["sampler"] == one.as_dict()["sampler"]


def test_changes_of_one_round() -> None:
    changes = {"rounds": "one", "max_owed": 0.5, "acceptance": {"decay": 0.9}}
    sampler = presets.get("balanced", sampler=changes).as_dict()["sampler"]
    assert sampler["max_owed"] == 0.5
    assert sampler["acceptance"] == {"kind": "counted", "decay": 0.9, "prior": 2.0}
    with pytest.raises(ConfigError, match="unknown key 'max_resamples'"):
        presets.get("balanced", sampler={"rounds": "one", "max_resamples": 2})
    with pytest.raises(ConfigError, match="unknown rounds 'two'; allowed: one, refill"):
        presets.get("balanced", sampler={"rounds": "two"})


def test_planners_follow_the_variant() -> None:
    assert isinstance(presets.get("mt_grpo").sampler.planner, NeededRounds)
    assert isinstance(presets.get("mt_grpo", variant="paper").sampler.planner, OversampledRounds)
    assert presets.get("dapo").sampler.keep_shares is False


def test_weighting_is_bound_and_takes_overrides() -> None:
    tasks = ["a", "b", "c"]
    weighting = bound("mt_grpo", tasks, lam=0.25, weight_lr=0.1)
    assert weighting.weights() == pytest.approx(dict.fromkeys(tasks, 1 / 3))
    minibatches = [{"a": 0.05, "b": -0.3, "c": 0.0}] * 4
    weighting.update(task_rewards={"a": 0.3, "b": 0.1, "c": 0.9}, improvements=minibatches)
    weights = weighting.weights()
    assert weights["b"] == max(weights.values())


def test_setting_follows_the_number_of_tasks() -> None:
    nine = bound("mt_grpo", [f"t{i}" for i in range(9)], lam=1.2)
    assert nine.improvement_clip == 0.2  # type: ignore[attr-defined]
    paired = bound("mt_grpo", [f"t{i}" for i in range(9)], lam=0.3)
    assert paired.improvement_clip == 0.1  # type: ignore[attr-defined]
    explicit = bound("mt_grpo", ["a", "b"], improvement_clip=0.5)
    assert explicit.improvement_clip == 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: presets.get("mtgrpo"), "did you mean 'mt_grpo'"),
        (lambda: presets.get("mt_grpo", variant="papr"), "did you mean 'paper'"),
        (lambda: presets.get("mt_grpo", setting="two_tasks"), "allowed: nine_tasks, three_tasks"),
        (lambda: bound("mt_grpo", ["a"], lamb=1.0), "did you mean 'lam'"),
        (lambda: bound("mt_grpo_reg", ["a"], lam=1.0), "unknown key 'lam'"),
        (lambda: bound("mt_grpo", ["a"], lam=-1.0), "lam"),
    ],
)
def test_bad_names_and_overrides_are_refused_with_a_way_out(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        call()
